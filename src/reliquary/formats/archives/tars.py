"""tar.gz archives, read in one pass with caps, never unpacked to disk."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from reliquary.errors import Malformed
from reliquary.formats.archives.zips import MEMBERS, check_path, check_ratio, shown

_BLOCK = 512
_CHUNK = 1_048_576
_LONG_NAME = 65_536
_PAX = 1_048_576
_BROKEN = (OSError, EOFError, zlib.error, ValueError, OverflowError)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Args:
        path: as the archive names it, without a leading ``./``.
        size: bytes, unpacked.
        data: the first of its bytes, as many as were wanted.
    """

    path: str
    size: int
    data: bytes = b""

    def whole(self) -> bytes:
        """All of its bytes; raises Malformed where it is larger than what was wanted of it."""
        if len(self.data) < self.size:
            raise Malformed(f"the archive's member {shown(self.path)} is larger than {len(self.data)} bytes")
        return self.data


def members(file: IO[bytes], wanted: Callable[[str], int]) -> Iterator[Member]:
    """Walk the files of a tar.gz archive (POSIX ustar and pax, GNU long names).

    Args:
        file: the archive, seekable.
        wanted: how many of the first bytes of a path are wanted, at most.

    Yields:
        Each file, in the order of the archive.

    Raises:
        Malformed: damage, a link, a device, an unsafe or repeated name, a bomb.
    """
    size = file.seek(0, 2)
    file.seek(0)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            yield from _walk(_Tape(unpacked, size), wanted)
    except _BROKEN as error:
        raise Malformed("the file is not a whole gzip-compressed tar archive; build it again") from error


class _Tape:
    """Unpacked bytes, counted against the packed size."""

    def __init__(self, source: IO[bytes] | gzip.GzipFile, packed: int) -> None:
        self._source = source
        self._packed = packed
        self._count = 0

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; fewer only at the end."""
        data = self._source.read(size)
        self._count += len(data)
        check_ratio(self._count, self._packed)
        return data

    def exactly(self, size: int) -> bytes:
        """``size`` bytes and the padding behind them."""
        data = self.read(size)
        padding = -size % _BLOCK
        if len(data) != size or len(self.read(padding)) != padding:
            raise EOFError
        return data

    def first(self, size: int, wanted: int) -> bytes:
        """The first ``wanted`` of ``size`` bytes; the rest and the padding are passed over."""
        data = self.read(min(size, wanted))
        if len(data) != min(size, wanted):
            raise EOFError
        self._pass(size + -size % _BLOCK - len(data))
        return data

    def skip(self, size: int) -> None:
        """Pass over ``size`` bytes and their padding."""
        self._pass(size + -size % _BLOCK)

    def _pass(self, left: int) -> None:
        while left:
            step = self.read(min(left, _CHUNK))
            if not step:
                raise EOFError
            left -= len(step)


def _walk(tape: _Tape, wanted: Callable[[str], int]) -> Iterator[Member]:
    seen: set[str] = set()
    count = 0
    longer: dict[str, str] = {}
    while header := _header(tape):
        count += 1
        if count > MEMBERS:
            raise Malformed(f"the archive has more than {MEMBERS} members")
        kind, size = header[156:157], _number(header[124:136])
        if kind in b"xgLK":
            longer |= _extension(tape, kind, size)
            continue
        path = (longer.get("path") or _path(header)).removeprefix("./")
        size = _pax_size(longer, size)
        longer = {}
        if _check(path, kind, seen):
            tape.skip(size)
        else:
            yield Member(path, size, tape.first(size, wanted(path)))
    _check_rest(tape)


def _check(path: str, kind: bytes, seen: set[str]) -> bool:
    """Refuse what must not be in a package; returns whether it is a folder."""
    if kind not in b"\0005" and kind != b"0":
        raise Malformed(f"the archive's member {shown(path)} is a link or a device; put files in its place")
    folder = kind == b"5" or path.endswith("/")
    if folder and path in ("", "/"):
        return True
    check_path(path)
    if not folder and path in seen:
        raise Malformed(f"the archive holds {shown(path)} twice")
    seen.add(path)
    return folder


def _header(tape: _Tape) -> bytes | None:
    """The next header block, or None at the end mark."""
    block = tape.read(_BLOCK)
    if len(block) == _BLOCK and not any(block):
        return None
    if len(block) != _BLOCK:
        raise EOFError
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    if total != _number(block[148:156]):
        raise ValueError("checksum")
    return block


def _number(field: bytes) -> int:
    """An octal field, or a large one in base 256 (GNU)."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if digits and not all(digit in b"01234567" for digit in digits):
        raise ValueError("number")
    return int(digits or b"0", 8)


def _path(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8")


def _extension(tape: _Tape, kind: bytes, size: int) -> dict[str, str]:
    """What a pax or GNU header says of the member behind it."""
    if size > (_PAX if kind in b"xg" else _LONG_NAME):
        raise Malformed("the archive has an oversized extended header")
    data = tape.exactly(size)
    if kind in b"LK":
        text = data.split(b"\0", 1)[0].decode("utf-8")
        return {"path" if kind == b"L" else "linkpath": text}
    records = _pax(data)
    if any(name.startswith("GNU.sparse") for name in records):
        raise Malformed("the archive holds a sparse file; write it out in full")
    if kind == b"g" and {"path", "size"} & set(records):
        raise Malformed("the archive names or sizes all its members at once")
    return records if kind == b"x" else {}


def _pax(data: bytes) -> dict[str, str]:
    records: dict[str, str] = {}
    at = 0
    while at < len(data):
        digits, _, _ = data[at : at + 20].partition(b" ")
        if not digits.isdigit() or int(digits) <= len(digits) + 2:
            raise ValueError("pax record")
        record = data[at : at + int(digits)]
        if len(record) != int(digits) or not record.endswith(b"\n"):
            raise ValueError("pax record")
        name, _, value = record[len(digits) + 1 : -1].partition(b"=")
        records[name.decode("utf-8")] = value.decode("utf-8", "replace" if name != b"path" else "strict")
        at += int(digits)
    return records


def _pax_size(longer: dict[str, str], size: int) -> int:
    text = longer.get("size")
    if text is None:
        return size
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError("pax size")
    return int(text)


def _check_rest(tape: _Tape) -> None:
    """Behind the end mark only zeros: unpackers differ in how they read on."""
    while rest := tape.read(_CHUNK):
        if rest.count(0) != len(rest):
            raise Malformed("the archive goes on behind its end")
