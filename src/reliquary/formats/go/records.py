"""The records of a checksum database, the answers that tell them, and the proof of an answer of somebody else's.

A record is what ``go.sum`` says of one version: a line for its zip and one for its go.mod. A log is asked for it by
module and version, and answers with the record's number, the record, and a signed tree head that covers it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reliquary.errors import Malformed, Mismatch, Unavailable
from reliquary.formats.go import notes, tiles
from reliquary.formats.go.notes import Head, Key
from reliquary.formats.go.tiles import Tile

ReadTile = Callable[[Tile], Awaitable[bytes | None]]
"""Fetches a tile of another's log by its `Tile.path`; None where it is not there. Its errors are passed on."""

_H1 = re.compile(r"h1:[0-9A-Za-z+/]{43}=")
_WORD = re.compile(r"[^\x00-\x20\x7f\s\ud800-\udfff]+")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,18}")
_QUOTED = re.compile(r'"([^"\\\s]{1,400})"')
_KEYS = Path("src", "cmd", "go", "internal", "modfetch", "key.go")
_LARGEST_SOURCE = 65_536


@dataclass(frozen=True, slots=True)
class Record:
    """What a log says of one version.

    Args:
        path: the module's, not escaped.
        version: canonical, not escaped.
        zip: ``h1:`` of the module zip.
        mod: ``h1:`` of its go.mod.
    """

    path: str
    version: str
    zip: str
    mod: str


def record(path: str, version: str, h1_zip: str, h1_mod: str) -> bytes:
    """The two lines of a version, as `Record` names its parts.

    Raises:
        Malformed: a part is empty or has a space or a control character in it, or a hash is no h1.
    """
    for word in (path, version):
        if _WORD.fullmatch(word) is None or version.endswith("/go.mod"):
            raise Malformed(f"{path!r} {version!r} cannot stand in a record: it is no module and version")
    for hashed in (h1_zip, h1_mod):
        if _H1.fullmatch(hashed) is None:
            raise Malformed(f"{hashed!r} is not h1: and 44 characters of base64")
    return f"{path} {version} {h1_zip}\n{path} {version}/go.mod {h1_mod}\n".encode()


def parse(text: bytes) -> Record:
    """The parts of a record.

    Raises:
        Malformed: it is not the two lines that `record` writes.
    """
    try:
        words = [line.split(" ") for line in text.decode().split("\n")]
        (path, version, h1_zip), (_, _, h1_mod), _ = words
    except ValueError as error:
        raise Malformed("a record is two lines of three words each") from error
    if record(path, version, h1_zip, h1_mod) != text:
        raise Malformed(f"the lines of the record of {path!r} {version!r} do not belong together")
    return Record(path, version, h1_zip, h1_mod)


def data_tile(held: Iterable[bytes]) -> bytes:
    """Records as a tile of level `tiles.DATA` has them: a blank line after each, and no number."""
    return b"".join(each + b"\n" for each in held)


def records_of(data: bytes) -> Sequence[bytes]:
    """The records in such a tile; raises Malformed for one that is cut short or has an empty one."""
    held = data.split(b"\n\n")
    if held.pop() or not all(held):
        raise Malformed("the records do not each end with a blank line")
    return [each + b"\n" for each in held]


def cut(data: bytes, width: int) -> bytes | None:
    """The first ``width`` records of a stored tile of level `tiles.DATA`; None where it has fewer."""
    end = 0
    for _ in range(width):
        end = data.find(b"\n\n", end) + 2
        if end < 2:
            return None
    return data[:end]


def answer(number: int, text: bytes, signed_head: bytes) -> bytes:
    """What a look-up is answered with.

    Args:
        number: the record's, from 0 on.
        text: the record.
        signed_head: a note of a head whose size is above the number; an old one does as well as the newest.
    """
    return f"{number}\n".encode() + data_tile([text]) + signed_head


def split(told: bytes) -> tuple[int, bytes, bytes]:
    """Number, record and signed head of an answer, of which nothing is proved yet.

    Raises:
        Malformed: it has another form.
    """
    if len(told) > notes.LARGEST:
        raise Malformed(f"the answer has {len(told)} bytes, and may have {notes.LARGEST}")
    number, _, rest = told.partition(b"\n")
    text, blank, signed_head = rest.partition(b"\n\n")
    if _NUMBER.fullmatch(number) is None or not text or not blank:
        raise Malformed("the answer is not a number, a record, a blank line and a signed head")
    try:
        if _CONTROL.search(text.decode()):
            raise Malformed("the record has control characters")
    except UnicodeDecodeError as error:
        raise Malformed("the record is not UTF-8") from error
    return int(number), text + b"\n", signed_head


async def verify_lookup(
    told: bytes, verifier: Key, read_tile: ReadTile, known: Head | None, *, path: str, version: str
) -> tuple[Record, Head]:
    """Prove an answer of another's log, as the go command does.

    The head must be signed; its tree must have grown out of the one that is known, or the known one out of it; and
    the record must be in the larger of the two, and be the one that was asked for.

    Args:
        told: the answer to the look-up.
        verifier: the log's key.
        read_tile: fetches a tile. It is asked for several at once, each once, and for a full tile where one that is
            not full is not there. What it gave may be kept when this returns, and not when it raises.
        known: the largest head that was proved before; None at first.
        path: the module that was looked up, not escaped.
        version: the version that was looked up, not escaped.

    Returns:
        The record, and the largest head that is proved now: to be known at the next look-up.

    Raises:
        Mismatch: the answer is unusable, is not signed by the key, or is not proved by the tiles. With code ``fork``:
            the log has told two different things, and its operator, or somebody between, is to be asked why.
        Unavailable: a tile is not there.
    """
    try:
        number, text, signed_head = split(told)
        head = notes.read_head(notes.read(signed_head, [verifier]))
        found = parse(text)
    except Malformed as error:
        raise Mismatch(f"the checksum database's answer is unusable: {error.message}") from error
    if (found.path, found.version) != (path, version):
        raise Mismatch(f"the checksum database told of {found.path} {found.version} in place of {path} {version}")
    older, newest = sorted((known or head, head), key=lambda each: each.size)
    if number >= newest.size:
        raise Mismatch(f"record {number} is not in a log of {newest.size} records")
    wanted = dict.fromkeys(tiles.for_tree(newest.size, older.size) + tiles.for_record(newest.size, number))
    held = await _fetch(tuple(wanted), read_tile)
    tiles.check_tree(newest, older, held)
    tiles.check_record(newest, number, tiles.leaf(text), held)
    return found, newest


def public_key(goroot: Path) -> str | None:
    """The key of the public checksum database, as a Go toolchain has it in its own source.

    Args:
        goroot: what ``go env GOROOT`` tells.

    Returns:
        The text of the first key that stands there; None where there is no such file, or no key in it.
    """
    try:
        with (goroot / _KEYS).open("rb") as file:
            source = file.read(_LARGEST_SOURCE).decode(errors="replace")
    except OSError:
        return None
    return next((found[1] for found in _QUOTED.finditer(source) if _is_key(found[1])), None)


def _is_key(text: str) -> bool:
    try:
        Key.read(text)
    except Malformed:
        return False
    return True


async def _fetch(wanted: Sequence[Tile], read_tile: ReadTile) -> Mapping[Tile, bytes]:
    """All tiles at once; when one fails the others are let go."""
    tasks = [asyncio.create_task(_tile(tile, read_tile)) for tile in wanted]
    try:
        return dict(zip(wanted, await asyncio.gather(*tasks), strict=True))
    finally:
        for task in tasks:
            task.cancel()


async def _tile(tile: Tile, read_tile: ReadTile) -> bytes:
    """A tile; a log may have thrown away what was not full when it became full."""
    found = await read_tile(tile)
    if found is None and tile != tile.whole:
        whole = await read_tile(tile.whole)
        found = None if whole is None else tile.cut(whole)
    if found is None:
        raise Unavailable(f"the checksum database has no {tile.path}, which its own signed head says there is")
    return found
