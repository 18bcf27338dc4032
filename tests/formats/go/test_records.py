from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reliquary.errors import Malformed, Mismatch, Unavailable
from reliquary.formats.go import notes, records, tiles
from reliquary.formats.go.notes import Head, Key, Signer
from reliquary.formats.go.records import Record
from reliquary.formats.go.tiles import Edge, Tile

SIGNER = Signer.make("sums.example", bytes(range(32)))


def h1(text: str) -> str:
    return "h1:" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


ZIP, MOD = h1("zip"), h1("mod")
RECORD = f"example.com/Demo v1.2.3 {ZIP}\nexample.com/Demo v1.2.3/go.mod {MOD}\n".encode()


def path_of(number: int) -> str:
    return f"example.com/m{number}"


def made(number: int, content: str = "") -> bytes:
    return records.record(path_of(number), "v1.0.0", h1(f"zip {number}{content}"), h1(f"mod {number}"))


class Log:
    """Another's log, as it answers over HTTP; only widths that are wanted count as asked."""

    def __init__(self, size: int, *, content: str = "", differs_from: int = 0) -> None:
        self.held = [made(number, content if number >= differs_from else "") for number in range(size)]
        self.edge: Edge
        self.edge, found = tiles.append(0, (), map(tiles.leaf, self.held))
        self.stored = {tile.stem: hashes for tile, hashes in found.items()}
        self.asked: list[str] = []
        self.only_full = False
        self.head = Head(size, tiles.root(self.edge))

    def signed(self, signer: Signer = SIGNER) -> bytes:
        return notes.sign(notes.head_text(self.head), signer)

    def look_up(self, number: int) -> bytes:
        return records.answer(number, self.held[number], self.signed())

    async def tile(self, tile: Tile) -> bytes | None:
        self.asked.append(tile.path)
        await asyncio.sleep(0)
        if self.only_full and tile != tile.whole:
            return None
        stored = self.stored.get(tile.stem)
        return None if stored is None else tile.cut(stored)


def verify(
    told: bytes,
    log: Log,
    number: int,
    known: Head | None = None,
    *,
    key: Key = SIGNER.key,
    read: records.ReadTile | None = None,
    version: str = "v1.0.0",
) -> tuple[Record, Head]:
    ask = records.verify_lookup(told, key, read or log.tile, known, path=path_of(number), version=version)
    return asyncio.run(ask)


LOGS = {size: Log(size) for size in (1, 2, 255, 256, 257, 300, 600)}


def test_a_record_is_two_lines() -> None:
    assert records.record("example.com/Demo", "v1.2.3", ZIP, MOD) == RECORD
    assert records.parse(RECORD) == Record("example.com/Demo", "v1.2.3", ZIP, MOD)


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_record_that_is_written_is_read(path: str, version: str) -> None:
    try:
        text = records.record(path, version, ZIP, MOD)
    except Malformed:
        return
    assert records.parse(text) == Record(path, version, ZIP, MOD)
    assert records.split(records.answer(7, text, b"head")) == (7, text, b"head")
    assert text.count(b"\n") == 2
    assert b"\n\n" not in text


@pytest.mark.parametrize("word", ["", " ", "a b", "a\nb", "a\tb", "a\x00", "a\x7f", "a\u00a0", "\ud800", "a\x85"])
def test_words_that_cannot_stand_in_a_record(word: str) -> None:
    with pytest.raises(Malformed, match="no module and version"):
        records.record(word, "v1.2.3", ZIP, MOD)
    with pytest.raises(Malformed, match="no module and version"):
        records.record("example.com/demo", word, ZIP, MOD)


def test_a_version_that_would_be_read_as_another_line() -> None:
    with pytest.raises(Malformed, match="no module and version"):
        records.record("example.com/demo", "v1.2.3/go.mod", ZIP, MOD)


@pytest.mark.parametrize("hashed", ["", ZIP[3:], "h2:" + ZIP[3:], ZIP[:-1], ZIP + "=", ZIP + "\n", " " + ZIP])
def test_hashes_that_are_no_h1(hashed: str) -> None:
    for pair in ((hashed, MOD), (ZIP, hashed)):
        with pytest.raises(Malformed, match="is not h1"):
            records.record("example.com/demo", "v1.2.3", *pair)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        RECORD[:-1],
        RECORD + b"\n",
        RECORD + RECORD,
        RECORD.split(b"\n")[0] + b"\n",
        b"\n".join(reversed(RECORD[:-1].split(b"\n"))) + b"\n",
        RECORD.replace(b"/go.mod", b""),
        RECORD.replace(b"v1.2.3/", b"v1.2.4/"),
        RECORD.replace(b"Demo v1.2.3/", b"demo v1.2.3/"),
        RECORD.replace(b" v", b"  v", 1),
        RECORD.replace(b"\n", b"\r\n"),
        RECORD.replace(b"Demo", b"Dem\xff"),
        RECORD.replace(ZIP.encode(), b"h1:short="),
    ],
)
def test_what_is_no_record(text: bytes) -> None:
    with pytest.raises(Malformed):
        records.parse(text)


def test_records_in_a_tile() -> None:
    held = [made(number) for number in range(256)]
    data = records.data_tile(held)
    assert data == b"".join(each + b"\n" for each in held)
    assert records.records_of(data) == held
    for width in (1, 2, 255, 256):
        assert records.cut(data, width) == records.data_tile(held[:width])
    assert records.cut(data, 257) is None
    assert records.cut(data[:-1], 256) is None
    assert records.cut(b"", 1) is None
    for torn in (data[:-1], data[:-2], data[:-40], data + b"\n\n", data + b"more"):
        with pytest.raises(Malformed):
            records.records_of(torn)


def test_an_answer() -> None:
    log = LOGS[300]
    told = log.look_up(7)
    assert told == b"7\n" + made(7) + b"\n" + log.signed()
    assert records.split(told) == (7, made(7), log.signed())


@pytest.mark.parametrize(
    ("told", "match"),
    [
        (b"", "not a number"),
        (RECORD + b"\n", "not a number"),
        (b"-1\n" + RECORD + b"\n", "not a number"),
        (b"01\n" + RECORD + b"\n", "not a number"),
        (b"\xd9\xa1\n" + RECORD + b"\n", "not a number"),
        (b"9" * 20 + b"\n" + RECORD + b"\n", "not a number"),
        (b"1\n\n", "not a number"),
        (b"1\n" + RECORD, "not a number"),
        (b"1\na\rb\n\n", "control characters"),
        (b"1\na\xffb\n\n", "not UTF-8"),
        (b"1\n" + b"a" * notes.LARGEST + b"\n\n", "and may have 1000000"),
    ],
)
def test_what_is_no_answer(told: bytes, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        records.split(told)
    with pytest.raises(Mismatch, match=match):
        verify(told, LOGS[1], 0)


@pytest.mark.parametrize("size", LOGS)
def test_every_kind_of_record_is_proved_at_first_sight(size: int) -> None:
    log = LOGS[size]
    for number in {0, size // 2, size - 1}:
        found, head = verify(log.look_up(number), log, number)
        assert found == records.parse(made(number))
        assert head == log.head


def test_a_first_look_up_asks_for_two_or_three_tiles_once() -> None:
    log = Log(300)
    verify(log.look_up(7), log, 7)
    assert sorted(log.asked) == ["tile/8/0/000", "tile/8/0/001.p/44", "tile/8/1/000.p/1"]
    log.asked.clear()
    verify(log.look_up(299), log, 299)
    assert sorted(log.asked) == ["tile/8/0/001.p/44", "tile/8/1/000.p/1"]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(LOGS)), st.sampled_from(sorted(LOGS)), st.integers(0, 599))
def test_a_log_that_grew_and_an_answer_of_before(known: int, told: int, number: int) -> None:
    """The larger head is proved and kept, whether it is the known one or the one that was told."""
    number %= told
    larger = LOGS[max(known, told)]
    found, head = verify(LOGS[told].look_up(number), larger, number, LOGS[known].head)
    assert found.path == path_of(number)
    assert head == larger.head


def test_a_log_that_keeps_full_tiles_only() -> None:
    log = Log(600)
    log.only_full = True
    before = LOGS[300]
    found, _ = verify(before.look_up(299), log, 299, before.head, read=widened(log, before))
    assert found.path == path_of(299)
    with pytest.raises(Unavailable, match=r"no tile/8/0/002\.p/88"):
        verify(log.look_up(599), log, 599)


def widened(log: Log, before: Log) -> records.ReadTile:
    """The tiles of a larger log that has thrown its narrower ones away, but for the one that has not filled up."""

    async def read(tile: Tile) -> bytes | None:
        return await (before.tile(tile) if tile.level else log.tile(tile))

    return read


def test_the_known_log_is_asked_when_an_older_head_is_told() -> None:
    log, before = Log(600), LOGS[2]
    _, head = verify(before.look_up(1), log, 1, log.head)
    assert head == log.head
    assert sorted(log.asked) == ["tile/8/0/000", "tile/8/0/002.p/88", "tile/8/1/000.p/2"]


def refused(
    told: bytes, log: Log, match: str, *, number: int = 7, known: Head | None = None, code: str = "mismatch"
) -> None:
    with pytest.raises(Mismatch, match=match) as caught:
        verify(told, log, number, known)
    assert caught.value.code == code


def test_a_forged_record_is_refused() -> None:
    log = LOGS[300]
    refused(records.answer(7, made(7, "forged"), log.signed()), log, "record 7 is not the one")
    refused(records.answer(8, made(7), log.signed()), log, "record 8 is not the one")
    refused(records.answer(300, made(7), log.signed()), log, "record 300 is not in a log of 300")


def test_the_record_of_another_module_or_version_is_refused() -> None:
    log = LOGS[300]
    refused(log.look_up(8), log, "told of example.com/m8 v1.0.0 in place of example.com/m7 v1.0.0")
    with pytest.raises(Mismatch, match=r"m7 v1\.0\.0 in place of example.com/m7 v1\.0\.1"):
        verify(log.look_up(7), log, 7, version="v1.0.1")


def test_a_head_of_another_key_is_refused() -> None:
    log = LOGS[300]
    namesake = Signer.make(SIGNER.key.name, bytes(32))
    refused(records.answer(7, made(7), log.signed(namesake)), log, "unusable: the text is not signed by sums.example")
    changed = log.signed().replace(b"\n300\n", b"\n301\n")
    refused(records.answer(7, made(7), changed), log, "unusable: the signature of sums.example is not one")
    refused(records.answer(7, made(7), notes.sign("hello\n", SIGNER)), log, "no tree head")


def test_a_fork_is_told_from_trouble_on_the_way() -> None:
    log, fork = LOGS[600], Log(600, content="other", differs_from=100)
    told = fork.look_up(7)
    refused(told, fork, "told two different things", known=LOGS[300].head, code="fork")
    refused(told, fork, "told two different things", known=log.head, code="fork")
    refused(LOGS[300].look_up(7), fork, "told two different things", known=fork.head, code="fork")
    refused(told, log, "tiles are not those of the tree", known=LOGS[300].head)
    assert verify(told, fork, 7, Head(100, tiles.root(Log(100).edge)))[1] == fork.head


@pytest.mark.parametrize(
    "broken",
    [
        lambda data: data[:-1],
        lambda data: data + b"x" * 32,
        lambda data: b"",
        lambda data: bytes(len(data)),
        lambda data: b"<html>not found</html>",
    ],
)
def test_tiles_that_are_damaged(broken: Callable[[bytes], bytes]) -> None:
    log = LOGS[600]
    for stem in ("tile/8/0/000", "tile/8/0/002", "tile/8/1/000"):

        async def read(tile: Tile, stem: str = stem) -> bytes | None:
            data = await log.tile(tile)
            return broken(data) if data is not None and tile.stem == stem else data

        with pytest.raises(Mismatch):
            verify(log.look_up(7), log, 7, read=read)


def test_a_tile_that_is_not_there_or_cannot_be_fetched() -> None:
    async def nothing(tile: Tile) -> bytes | None:
        return None

    async def down(tile: Tile) -> bytes | None:
        raise Unavailable(f"no answer for {tile.path}")

    told = LOGS[300].look_up(7)
    with pytest.raises(Unavailable, match="which its own signed head says there is"):
        verify(told, LOGS[300], 7, read=nothing)
    with pytest.raises(Unavailable, match="no answer for tile/8/"):
        verify(told, LOGS[300], 7, read=down)


def test_when_one_tile_fails_the_others_are_let_go() -> None:
    let_go: list[str] = []

    async def read(tile: Tile) -> bytes | None:
        if tile.level:
            raise Unavailable("down")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            let_go.append(tile.path)
            raise
        return None

    async def ask() -> None:
        with pytest.raises(Unavailable, match="down"):
            await records.verify_lookup(LOGS[300].look_up(7), SIGNER.key, read, None, path=path_of(7), version="v1.0.0")
        await asyncio.sleep(0)

    asyncio.run(ask())
    assert sorted(let_go) == ["tile/8/0/000", "tile/8/0/001.p/44"]


def goroot(folder: Path, source: bytes) -> Path:
    file = folder / "src" / "cmd" / "go" / "internal" / "modfetch" / "key.go"
    file.parent.mkdir(parents=True)
    file.write_bytes(source)
    return folder


def sources(key: str) -> Sequence[str]:
    return [
        f'package modfetch\n\nvar known = map[string]string{{\n\t"sums.example": "{key}",\n}}\n',
        f'// "quoted" + "more+of+it"\nvar a = "x+00000000+{key[-44:]}"; const b = "{key}"',
    ]


def test_the_public_key_of_a_toolchain(tmp_path: Path) -> None:
    for number, source in enumerate(sources(SIGNER.key.text)):
        assert records.public_key(goroot(tmp_path / str(number), source.encode())) == SIGNER.key.text


def test_toolchains_without_a_public_key(tmp_path: Path) -> None:
    assert records.public_key(tmp_path / "nowhere") is None
    damaged = SIGNER.key.text.replace("sums", "soms")
    for number, source in enumerate(["", "\xff\x00", *sources(damaged)]):
        assert records.public_key(goroot(tmp_path / str(number), source.encode("latin-1"))) is None
