"""Signed notes: a text, a blank line, and a line for each signature; and the tree head that a checksum database signs.

The signatures are Ed25519 over the text with its last line end. A signature line is an em dash, the signer's name, and
base64 of four bytes that tell the signer's keys apart followed by the signature. Whoever reads takes the note if one
of the keys it knows has signed it, and all it knows have signed rightly; signatures of others say nothing to it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from reliquary.errors import Malformed

LARGEST = 1_000_000
"""Bytes of a note; a tree head has some 200."""
MOST_SIGNATURES = 100

_ED25519 = b"\x01"
_KEY = re.compile(r"([^+]+)\+([0-9a-fA-F]{8})\+([0-9A-Za-z+/]{44})")
_SIGNER = "PRIVATE+KEY+"
_DASH = "\u2014 "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
# Windows writes the name as folders, so it has neither a port nor what else a file's name may not have there.
_OWN_NAME = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.-]*[0-9A-Za-z])?(?:/[0-9A-Za-z_-](?:[0-9A-Za-z._-]*[0-9A-Za-z_-])?)*")
_HEAD = re.compile(r"go\.sum database tree\n(0|[1-9][0-9]{0,18})\n([0-9A-Za-z+/]{43}=)\n")


@dataclass(frozen=True, slots=True)
class Key:
    """What a signer's notes are checked with; the first half of what ``GOSUMDB`` holds.

    Args:
        name: the signer's; no space and no plus sign in it.
        public: the 32 bytes of the Ed25519 key.
    """

    name: str
    public: bytes

    @classmethod
    def read(cls, text: str) -> Key:
        """The key of ``{name}+{8 hexadecimal digits}+{base64}``.

        Raises:
            Malformed: it has another form, is of another algorithm, or its digits belong to another key.
        """
        name, said, public = _parts(text)
        key = cls(name, public)
        if key.hash != said:
            raise Malformed(f"the digits in the key of {name} belong to another name or key; copy it whole")
        return key

    @property
    def hash(self) -> bytes:
        """Four bytes that tell the keys of one name apart."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """As `read` reads it."""
        return _text(self, self.public)

    def signed(self, text: bytes, signature: bytes) -> bool:
        """Whether a signature is of this key over this text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that can sign.

    Args:
        key: what its notes are checked with.
        seed: the 32 secret bytes.
    """

    key: Key
    seed: bytes = field(repr=False)

    @classmethod
    def make(cls, name: str, seed: bytes) -> Signer:
        """The signer whose secret is a seed of 32 bytes; raises ValueError for another length."""
        private = Ed25519PrivateKey.from_private_bytes(seed)
        return cls(Key(name, private.public_key().public_bytes_raw()), seed)

    @classmethod
    def read(cls, text: str) -> Signer:
        """The signer of ``PRIVATE+KEY+{name}+{8 hexadecimal digits}+{base64}``.

        Raises:
            Malformed: it has another form, is of another algorithm, or its digits belong to another key. The text
                does not tell the key.
        """
        if not text.startswith(_SIGNER):
            raise Malformed(f"a key that signs begins with {_SIGNER}; this may be the one that is told to clients")
        name, said, seed = _parts(text.removeprefix(_SIGNER))
        signer = cls.make(name, seed)
        if signer.key.hash != said:
            raise Malformed(f"the digits in the key of {name} belong to another name or key; copy it whole")
        return signer

    @property
    def text(self) -> str:
        """As `read` reads it: a secret."""
        return _SIGNER + _text(self.key, self.seed)


class Head(NamedTuple):
    """What a checksum database says of itself: how many records it has, and the hash over all of them (32 bytes)."""

    size: int
    root: bytes


def mint(name: str, seed: bytes) -> tuple[str, str]:
    """A new checksum database's pair of keys.

    Args:
        name: ``host`` or ``host/path``, as the go command takes it on every system.
        seed: 32 bytes that nobody can guess.

    Returns:
        The text of the key that signs, which is a secret, and of the one that is told to clients.

    Raises:
        Malformed: the go command would not take the name.
    """
    if _OWN_NAME.fullmatch(name) is None:
        raise Malformed(
            f"{name!r} cannot name a checksum database: give a host, or a host and a path, "
            "of letters, digits, dots and dashes, without a port"
        )
    signer = Signer.make(name, seed)
    return signer.text, signer.key.text


def sign(text: str, signer: Signer) -> bytes:
    """The note of a text.

    Raises:
        Malformed: the text does not end with a line end, has control characters, or is no Unicode.
    """
    if not text.endswith("\n") or _CONTROL.search(text):
        raise Malformed("a text to be signed ends with a line end and has no other control character")
    try:
        signed = text.encode()
    except UnicodeEncodeError as error:
        raise Malformed("a text to be signed is Unicode without surrogates") from error
    signature = Ed25519PrivateKey.from_private_bytes(signer.seed).sign(signed)
    line = f"{_DASH}{signer.key.name} {base64.b64encode(signer.key.hash + signature).decode()}\n"
    return signed + b"\n" + line.encode()


def read(note: bytes, verifiers: Iterable[Key]) -> str:
    """The text of a note that was signed with a key that is known.

    Args:
        note: the whole note.
        verifiers: the keys that are known. Signatures of others are passed over, and so is a second one of the same.

    Returns:
        The text, with its last line end.

    Raises:
        Malformed: it is no note, it has more than 100 signatures, none is of a known key, or one of a known key is
            wrong.
    """
    text, lines = _split(note)
    known = {(key.name, key.hash): key for key in verifiers}
    checked = set()
    for name, code, signature in _signatures(lines):
        key = known.get((name, code))
        if key is None or key in checked:
            continue
        if not key.signed(text.encode(), signature):
            raise Malformed(f"the signature of {name} is not one over this text")
        checked.add(key)
    if not checked:
        raise Malformed(f"the text is not signed by {', '.join(sorted(name for name, _ in known)) or 'a known key'}")
    return text


def head_text(head: Head) -> str:
    """The text that a checksum database signs."""
    return f"go.sum database tree\n{head.size}\n{base64.b64encode(head.root).decode()}\n"


def read_head(text: str) -> Head:
    """The tree head in the text of a note; lines after it are for later.

    Raises:
        Malformed: it is no tree head.
    """
    found = _HEAD.match(text)
    if found is None:
        raise Malformed("the signed text is no tree head of a checksum database")
    return Head(int(found[1]), base64.b64decode(found[2]))


def _parts(text: str) -> tuple[str, bytes, bytes]:
    """Name, hash and 32 bytes of a key's text."""
    found = _KEY.fullmatch(text)
    if found is None or not _is_name(found[1]):
        raise Malformed("a key is written {name}+{8 hexadecimal digits}+{base64}; copy it whole")
    key = base64.b64decode(found[3])
    if key[:1] != _ED25519:
        raise Malformed(f"the key of {found[1]} is of another algorithm than Ed25519")
    return found[1], bytes.fromhex(found[2]), key[1:]


def _text(key: Key, secret_or_public: bytes) -> str:
    return f"{key.name}+{key.hash.hex()}+{base64.b64encode(_ED25519 + secret_or_public).decode()}"


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(sign.isspace() or "\ud800" <= sign <= "\udfff" for sign in name)


def _split(note: bytes) -> tuple[str, list[str]]:
    """The text, and the lines of the signatures without their line ends."""
    if len(note) > LARGEST:
        raise Malformed(f"the note has {len(note)} bytes, and may have {LARGEST}")
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise Malformed("the note is not UTF-8") from error
    if _CONTROL.search(whole):
        raise Malformed("the note has control characters")
    text, blank, signatures = whole.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise Malformed("the note has no signatures after a blank line")
    return text + "\n", signatures[:-1].split("\n")


def _signatures(lines: list[str]) -> Iterator[tuple[str, bytes, bytes]]:
    """Name, key hash and signature of each line."""
    if len(lines) > MOST_SIGNATURES:
        raise Malformed(f"the note has {len(lines)} signatures, and may have {MOST_SIGNATURES}")
    for line in lines:
        name, _, code = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not _is_name(name):
            raise Malformed("a signature of the note is not an em dash, a name and base64")
        try:
            held = base64.b64decode(code, validate=True)
        except ValueError as error:
            raise Malformed("a signature of the note is not in base64") from error
        # Python takes a padding sign after what needs none.
        if len(held) <= 4 or len(code) % 4:
            raise Malformed("a signature of the note is too short, or cut")
        yield name, held[:4], held[4:]
