"""Module zips: what they may hold, and the h1 that names their content whatever their bytes are."""

from __future__ import annotations

import hashlib
import re
import struct
import unicodedata
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

from reliquary.errors import Malformed, TooLarge
from reliquary.formats.archives import zips as archives
from reliquary.formats.go import gomod, versions
from reliquary.formats.go.names import check_path, reserved, shown

LARGEST = 500 * 1_048_576
"""Bytes of a module zip, and of all files in it: the go command takes no larger ones."""

LARGEST_LICENSE = 16 * 1_048_576
"""Bytes of the LICENSE at the root."""

_CHUNK = 262_144
_LOCAL = struct.Struct("<26x2H")
_PREFIX = re.compile(r"([^@]+)@([^/@]+)/")
_PLAIN = re.compile(r"[A-Za-z0-9!#$%&()+,\-.=@\[\]^_{}~ ]+")
"""Names of ASCII characters alone."""


@dataclass(frozen=True, slots=True)
class Module:
    """What a module zip holds.

    Args:
        path, version: of the module, as its entries have it; the version is canonical and fits the path.
        h1: of the zip, ``h1:`` and base64, as go.sum has it.
        mod_h1: that of the go.mod, go.sum's line of ``{version}/go.mod``.
        mod: the go.mod; one line made of the path where the zip has none.
        own_mod: whether the zip has one.
        file_count: files in it.
        unpacked_size: bytes of them all.
    """

    path: str
    version: str
    h1: str
    mod_h1: str
    mod: bytes
    own_mod: bool
    file_count: int
    unpacked_size: int


@dataclass(slots=True)
class Contents:
    """The files of a module as they come by, checked against each other and against the limits.

    Args:
        path, version: of the module.
    """

    path: str
    version: str
    mod: bytes | None = None
    file_count: int = 0
    unpacked_size: int = 0
    _hashes: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, tuple[str, bool]] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """What every entry's name starts with."""
        return f"{self.path}@{self.version}/"

    def enter(self, name: str, *, folder: bool = False) -> None:
        """Take the name of a file or folder below the prefix, without a final slash.

        Raises:
            Malformed: it is not allowed, or clashes with another one.
        """
        check_name(name)
        self._collide(name, folder)

    def take(self, name: str, chunks: Iterator[bytes], write: Callable[[bytes], object] | None = None) -> int:
        """Hash a file, and pass its bytes on.

        Returns:
            Bytes of it.

        Raises:
            Malformed, TooLarge: it passes a limit; at most a chunk more than that was read.
        """
        limit = {"go.mod": gomod.LARGEST, "LICENSE": LARGEST_LICENSE}.get(name, LARGEST)
        digest, size, kept = hashlib.sha256(), 0, []
        for chunk in chunks:
            size += len(chunk)
            check_size(name, size, limit)
            check_total(self.unpacked_size + size)
            digest.update(chunk)
            if name == "go.mod":
                kept.append(chunk)
            if write:
                write(chunk)
        if name == "go.mod":
            self.mod = b"".join(kept)
        self.file_count += 1
        self.unpacked_size += size
        self.hashed(name, digest.hexdigest())
        return size

    def hashed(self, name: str, sha256: str) -> None:
        """Note the digest (hexadecimal) of an entry below the prefix; a folder's name keeps its final slash."""
        self._hashes[self.prefix + name] = sha256

    def module(self) -> Module:
        """What came by, all of it."""
        mod = synthetic(self.path) if self.mod is None else self.mod
        return Module(
            path=self.path,
            version=self.version,
            h1=h1_of(self._hashes),
            mod_h1=mod_h1(mod),
            mod=mod,
            own_mod=self.mod is not None,
            file_count=self.file_count,
            unpacked_size=self.unpacked_size,
        )

    def _collide(self, name: str, folder: bool) -> None:
        while name:
            known = self._seen.setdefault(_folded(name), (name, folder))
            if known[0] != name:
                raise Malformed(f"{shown(known[0])} and {shown(name)} are one file where case does not count")
            if known[1] != folder:
                raise Malformed(f"{shown(name)} is both a file and a folder")
            name, folder = name.rpartition("/")[0], True


def look(file: IO[bytes], expect: tuple[str, str] | None = None) -> Module:
    """Look into a module zip (go.md, section 4, "Zip check" and "Limits"); slow, for a thread.

    Args:
        file: the zip, seekable.
        expect: the path and version that it must be of; else its first entry tells.

    Raises:
        Malformed: the message says what is wrong and what to do.
        TooLarge: the zip, its content, the go.mod or the LICENSE passes its limit.
    """
    if file.seek(0, 2) > LARGEST:
        raise TooLarge(f"the zip is larger than {LARGEST} bytes, which the go command refuses; leave files out")
    with archives.strict(file, bombs=True) as archive:
        members = [(_name(member), member) for member in archive.infolist()]
        contents = Contents(*(expect or _identity(members)))
        check_identity(contents.path, contents.version)
        _check_members(members, contents)
        for name, member in members:
            _take(file, name.removeprefix(contents.prefix), member, contents)
    return contents.module()


def agree(module: Module) -> None:
    """Refuse a module whose go.mod is not its own; upstreams have such ones, for ``replace``, and serve them.

    Raises:
        Malformed: the go.mod cannot be read, or names another module, or is there although the version is
            ``+incompatible``.
    """
    if not module.own_mod:
        return
    if module.version.endswith(versions.INCOMPATIBLE):
        raise Malformed(
            f"{shown(module.version)} has a go.mod, and {versions.INCOMPATIBLE} is for modules without one; "
            "publish the path with its major version at the end"
        )
    gomod.check(gomod.read(module.mod), module.path)


def check_identity(path: str, version: str) -> None:
    """Refuse what cannot be a module's path and version; raises Malformed."""
    check_path(path)
    if versions.canonical(version) is None:
        raise Malformed(f"{shown(version)} is no canonical version; write one such as v1.2.3 or v1.2.3-rc.1")
    if not versions.fits(path, version):
        raise Malformed(
            f"{shown(path)} can have no version {shown(version)}: from v2 on a path ends with its major version"
        )


def check_name(name: str) -> None:
    """Refuse names below the prefix that some system cannot unpack (go.md, section 4); raises Malformed."""
    for element in name.split("/"):
        if not _PLAIN.fullmatch(element) and not all(_PLAIN.match(each) or _is_letter(each) for each in element):
            raise Malformed(f"{shown(name)} has characters in its name that modules may not have; rename the file")
        if not element or element.endswith("."):
            raise Malformed(f"{shown(name)} is no clean name, or has an element that ends in a dot; rename the file")
        if reserved(element):
            raise Malformed(f"{shown(name)} has a name that Windows reserves; rename the file")


def check_mod_name(name: str) -> None:
    """Refuse a go.mod below the root or in another case; raises Malformed."""
    folder, _, base = name.rpartition("/")
    if base.lower() == "go.mod" and name != "go.mod":
        where = "lies below the root: it begins another module" if folder else "is not in lower case"
        raise Malformed(f"{shown(name)} {where}; leave it out")


def check_size(name: str, size: int, limit: int) -> None:
    """Refuse a file past its limit; raises TooLarge."""
    if size > limit:
        raise TooLarge(f"{shown(name)} is larger than {limit} bytes, which the go command refuses; make it smaller")


def check_total(size: int) -> None:
    """Refuse content past the limit; raises TooLarge."""
    if size > LARGEST:
        raise TooLarge(f"the module unpacks to more than {LARGEST} bytes, which the go command refuses")


def synthetic(path: str) -> bytes:
    """The go.mod of a module that has none."""
    return f"module {path}\n".encode()


def h1_of(hashes: Mapping[str, str]) -> str:
    """The h1 of a set of files.

    Args:
        hashes: name to SHA-256, hexadecimal; of a zip the names have its prefix, of a go.mod it is ``go.mod``.

    Returns:
        ``h1:`` and base64.
    """
    digest = hashlib.sha256()
    for name in sorted(hashes, key=str.encode):
        digest.update(f"{hashes[name]}  {name}\n".encode())
    return "h1:" + b64encode(digest.digest()).decode()


def mod_h1(mod: bytes) -> str:
    """The h1 of a go.mod."""
    return h1_of({"go.mod": hashlib.sha256(mod).hexdigest()})


def _name(member: zipfile.ZipInfo) -> str:
    """A member's name as Go reads it: UTF-8, with the flag for it or without."""
    raw = member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Malformed(f"the name {shown(member.orig_filename)} in the zip is not UTF-8; rename the file") from None


def _identity(members: list[tuple[str, zipfile.ZipInfo]]) -> tuple[str, str]:
    if not members:
        raise Malformed("the zip is empty; put the module's files below {module}@{version}/")
    found = _PREFIX.match(members[0][0])
    if found is None:
        raise Malformed(f"{shown(members[0][0])} does not start with {{module}}@{{version}}/ as in a module zip")
    return found[1], found[2]


def _check_members(members: list[tuple[str, zipfile.ZipInfo]], contents: Contents) -> None:
    """All that can be told before a byte is unpacked."""
    total = 0
    for whole, member in members:
        name = whole.removeprefix(contents.prefix)
        if name == whole:
            raise Malformed(f"{shown(whole)} does not start with {shown(contents.prefix)} as all entries must")
        folder = name.endswith("/") or not name
        if name:
            contents.enter(name.removesuffix("/"), folder=folder)
        if folder:
            # Go hashes folders too, as empty files; bytes in one would be seen by nobody.
            if member.file_size:
                raise Malformed(f"the folder {shown(name)} in the zip has bytes of its own; build the zip again")
            continue
        check_mod_name(name)
        total += member.file_size
        check_total(total)


def _take(file: IO[bytes], name: str, member: zipfile.ZipInfo, contents: Contents) -> None:
    if name.endswith("/") or not name:
        contents.hashed(name, hashlib.sha256().hexdigest())
    else:
        contents.take(name, _unpacked(file, member))


def _unpacked(file: IO[bytes], member: zipfile.ZipInfo) -> Iterator[bytes]:
    """A member's bytes; its stream must end where its sizes say, which the standard reader does not look at."""
    size, crc = 0, 0
    try:
        for chunk in _inflated(file, member):
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
            if size > member.file_size:
                break
            yield chunk
    except archives.BROKEN as error:
        raise Malformed(f"{shown(member.filename)} in the zip is damaged; build the zip again") from error
    if size != member.file_size or crc != member.CRC:
        raise Malformed(f"{shown(member.filename)} in the zip has another size or checksum than the zip says")


def _inflated(file: IO[bytes], member: zipfile.ZipInfo) -> Iterator[bytes]:
    file.seek(member.header_offset)
    name_size, extra_size = _LOCAL.unpack(file.read(_LOCAL.size))
    file.seek(name_size + extra_size, 1)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if member.compress_type else None
    left = member.compress_size
    while left:
        packed = file.read(min(left, _CHUNK))
        if not packed or (inflate and inflate.eof):
            raise EOFError
        left -= len(packed)
        if inflate is None:
            yield packed
            continue
        while packed and not inflate.eof:
            yield inflate.decompress(packed, _CHUNK)
            packed = inflate.unconsumed_tail
    if inflate is None:
        return
    while not inflate.eof:
        rest = inflate.decompress(inflate.unconsumed_tail, _CHUNK)
        if not rest:
            raise EOFError
        yield rest
    if inflate.unused_data:
        raise EOFError


def _is_letter(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character).startswith("L")


def _folded(name: str) -> str:
    """A name without its case, one character for one (Unicode's simple folding)."""
    return name.lower() if name.isascii() else "".join(map(_fold, name))


def _fold(character: str) -> str:
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return folded
    return character
