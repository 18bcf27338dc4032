from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed
from reliquary.formats.go import notes
from reliquary.formats.go.notes import Head, Key, Signer

SEED = bytes(range(32))
SIGNER = Signer.make("sums.example/team", SEED)
OTHER = Signer.make("other.example", bytes(32))
TEXT = "a text\n\nof two paragraphs — é\n"
NOTE = notes.sign(TEXT, SIGNER)


def line(signer: Signer, text: str = TEXT) -> bytes:
    """The signature alone, as another program writes it."""
    signature = Ed25519PrivateKey.from_private_bytes(signer.seed).sign(text.encode())
    return f"— {signer.key.name} {base64.b64encode(signer.key.hash + signature).decode()}\n".encode()


def note(*lines: bytes, text: str = TEXT) -> bytes:
    return text.encode() + b"\n" + b"".join(lines)


def refused(told: bytes, match: str, *known: Key) -> None:
    with pytest.raises(Malformed, match=match):
        notes.read(told, known or [SIGNER.key])


def test_a_key_by_the_words_of_its_form() -> None:
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
    digits = hashlib.sha256(b"sums.example/team\n\x01" + public).hexdigest()[:8]
    verifier = f"sums.example/team+{digits}+{base64.b64encode(bytes([1]) + public).decode()}"
    secret = f"PRIVATE+KEY+sums.example/team+{digits}+{base64.b64encode(bytes([1]) + SEED).decode()}"
    assert notes.mint("sums.example/team", SEED) == (secret, verifier)
    assert Key.read(verifier) == SIGNER.key
    assert Key.read(verifier.replace(digits, digits.upper())) == SIGNER.key
    assert Signer.read(secret) == SIGNER


def test_a_signer_shows_no_secret() -> None:
    assert repr(SEED) not in repr(SIGNER)
    with pytest.raises(Malformed) as caught:
        Signer.read(SIGNER.text.replace("sums", "soms"))
    assert base64.b64encode(b"\x01" + SEED).decode() not in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sums.example",
        SIGNER.key.text + "=",
        SIGNER.key.text + "\n",
        SIGNER.key.text[:-1],
        " " + SIGNER.key.text,
        "a b" + SIGNER.key.text,
        "\u00a0" + SIGNER.key.text,
        SIGNER.key.text.replace("sums", "soms"),
        SIGNER.key.text.replace("sums.example/team", ""),
        SIGNER.key.text.replace("+AQ", "+Ag"),
        SIGNER.text,
    ],
)
def test_texts_that_are_no_key(text: str) -> None:
    with pytest.raises(Malformed):
        Key.read(text)


def test_another_algorithm_is_told() -> None:
    name, digits, _ = SIGNER.key.text.split("+", 2)
    with pytest.raises(Malformed, match="another algorithm than Ed25519"):
        Key.read(f"{name}+{digits}+{base64.b64encode(bytes([2]) + SIGNER.key.public).decode()}")


def test_the_key_for_clients_does_not_sign() -> None:
    with pytest.raises(Malformed, match="told to clients"):
        Signer.read(SIGNER.key.text)


@pytest.mark.parametrize("name", ["sums.example", "localhost", "a", "Sums.example/Go/main", "s.example/a_b/c-d.e"])
def test_names_of_checksum_databases(name: str) -> None:
    secret, told = notes.mint(name, SEED)
    assert Signer.read(secret).key == Key.read(told)
    assert Key.read(told).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "a b",
        "a+b",
        "a?b",
        "a#b",
        "u@a",
        "a:8080",
        "a/..",
        "a/.",
        "a/b.",
        "-a",
        "a\n",
        "é.example",
    ],
)
def test_names_that_the_go_command_or_windows_would_not_take(name: str) -> None:
    with pytest.raises(Malformed, match="cannot name a checksum database"):
        notes.mint(name, SEED)


def test_a_note_is_text_blank_line_and_signature() -> None:
    assert note(line(SIGNER)) == NOTE
    assert notes.read(NOTE, [SIGNER.key]) == TEXT


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n")))
def test_any_text_comes_back(text: str) -> None:
    assert notes.read(notes.sign(text + "\n", SIGNER), [OTHER.key, SIGNER.key]) == text + "\n"


@pytest.mark.parametrize("text", ["", "no end", "a\r\n", "a\tb\n", "\x00\n", "\ud800\n"])
def test_texts_that_are_not_signed(text: str) -> None:
    with pytest.raises(Malformed):
        notes.sign(text, SIGNER)


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, flip: int) -> None:
    changed = bytearray(NOTE)
    changed[at] ^= flip
    try:
        read = notes.read(bytes(changed), [SIGNER.key])
    except Malformed:
        return
    # The last character of base64 has two bits that say nothing; the go command does not look at them either.
    assert read == TEXT
    assert at == len(NOTE) - 3


def test_signatures_of_others_are_passed_over() -> None:
    unknown = b"\xe2\x80\x94 stranger AAAAAAA=\n"
    assert notes.read(note(unknown, line(OTHER), line(SIGNER), unknown), [SIGNER.key]) == TEXT
    refused(note(unknown, line(OTHER)), "not signed by sums.example/team")
    with pytest.raises(Malformed, match="not signed by a known key"):
        notes.read(NOTE, [])


def test_one_good_signature_does_not_excuse_a_wrong_one() -> None:
    wrong = line(OTHER, "another text\n")
    assert notes.read(note(line(SIGNER), wrong), [SIGNER.key]) == TEXT
    refused(note(line(SIGNER), wrong), "signature of other.example", SIGNER.key, OTHER.key)


def test_of_two_signatures_of_one_key_the_first_counts() -> None:
    wrong = line(SIGNER, "another text\n")
    assert notes.read(note(line(SIGNER), wrong), [SIGNER.key]) == TEXT
    refused(note(wrong, line(SIGNER)), "signature of sums.example/team")


def test_a_name_alone_makes_no_signer() -> None:
    namesake = Signer.make(SIGNER.key.name, bytes(32))
    refused(note(line(namesake)), "not signed by")
    assert notes.read(note(line(namesake), line(SIGNER)), [SIGNER.key]) == TEXT


def test_a_hundred_signatures_and_no_more() -> None:
    stranger = b"\xe2\x80\x94 stranger AAAAAAA=\n"
    assert notes.read(note(*[stranger] * 99, line(SIGNER)), [SIGNER.key]) == TEXT
    refused(note(*[stranger] * 100, line(SIGNER)), "101 signatures")


@pytest.mark.parametrize(
    ("told", "match"),
    [
        (b"", "no signatures after a blank line"),
        (TEXT.encode(), "not an em dash"),
        (b"text\n" + line(SIGNER), "no signatures after a blank line"),
        (note(), "no signatures after a blank line"),
        (NOTE[:-1], "no signatures after a blank line"),
        (NOTE + b"\n", "no signatures after a blank line"),
        (note(line(SIGNER), b"\n", line(SIGNER)), "not one over this text"),
        (note(b"- " + line(SIGNER)[4:]), "not an em dash"),
        (note(b" " + line(SIGNER)), "not an em dash"),
        (note(line(SIGNER)[:-1] + b" \n"), "not in base64"),
        (note("— sums.example/team\n".encode()), "too short"),
        (note("— sums.example/team AAAAAA==\n".encode()), "too short"),
        (note("— sums.example/team AAAA AAA=\n".encode()), "not in base64"),
        (note("— sums.example/team AAAAAAAA=\n".encode()), "too short, or cut"),
        (note("— sums+example AAAAAAA=\n".encode()), "not an em dash, a name and base64"),
        (note("—  AAAAAAA=\n".encode()), "not an em dash, a name and base64"),
        (note(line(SIGNER), "— a é\n".encode()), "not in base64"),
        (NOTE.replace(b"a text", b"a\ttext"), "control characters"),
        (NOTE.replace(b"\n", b"\r\n"), "control characters"),
        (NOTE.replace(b"a text", b"a \xff text"), "not UTF-8"),
        (b"a" * notes.LARGEST + NOTE, "and may have 1000000"),
    ],
)
def test_what_is_no_note(told: bytes, match: str) -> None:
    refused(told, match)


def test_a_tree_head() -> None:
    root = hashlib.sha256(b"root").digest()
    text = f"go.sum database tree\n300\n{base64.b64encode(root).decode()}\n"
    assert notes.head_text(Head(300, root)) == text
    assert notes.read_head(text) == (300, root)
    assert notes.read_head(text + "something of later\n") == Head(300, root)
    assert notes.read_head(text.replace("300", "0")).size == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "go.sum database tree\n",
        "go.sum database tree v2\n1\n" + "A" * 43 + "=\n",
        "go.sum database tree\n01\n" + "A" * 43 + "=\n",
        "go.sum database tree\n-1\n" + "A" * 43 + "=\n",
        "go.sum database tree\n+1\n" + "A" * 43 + "=\n",
        "go.sum database tree\n1_0\n" + "A" * 43 + "=\n",
        "go.sum database tree\n\u0661\n" + "A" * 43 + "=\n",
        "go.sum database tree\n" + "9" * 20 + "\n" + "A" * 43 + "=\n",
        "go.sum database tree\n1\n" + "A" * 43 + "=",
        "go.sum database tree\n1\n" + "A" * 42 + "==\n",
        "go.sum database tree\n1\nAAAA\n",
        "\ngo.sum database tree\n1\n" + "A" * 43 + "=\n",
    ],
)
def test_texts_that_are_no_tree_head(text: str) -> None:
    with pytest.raises(Malformed, match="no tree head"):
        notes.read_head(text)
