"""tar.gz archives, read in one pass with caps, never unpacked to disk."""

from __future__ import annotations

import gzip
import posixpath
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import dropwhile
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
        link: what it points to, where it is a link.
    """

    path: str
    size: int
    data: bytes = b""
    link: str | None = None

    def whole(self) -> bytes:
        """All of its bytes; raises Malformed where it is larger than what was wanted of it."""
        if len(self.data) < self.size:
            raise Malformed(f"the archive's member {shown(self.path)} is larger than {len(self.data)} bytes")
        return self.data


def members(file: IO[bytes], wanted: Callable[[str], int], *, links: bool = False) -> Iterator[Member]:
    """Walk the files of a tar.gz archive (POSIX ustar and pax, GNU long names).

    Args:
        file: the archive, seekable.
        wanted: how many of the first bytes of a path are wanted, at most.
        links: pass links on that stay inside their own first folder and that nothing lies behind, not refuse them.

    Yields:
        Each file, in the order of the archive.

    Raises:
        Malformed: damage, a link, a device, an unsafe or repeated name, a bomb.
    """
    size = file.seek(0, 2)
    file.seek(0)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            yield from _walk(_Tape(unpacked, size), wanted, _Paths(links))
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

    def _pass(self, left: int) -> None:
        while left:
            step = self.read(min(left, _CHUNK))
            if not step:
                raise EOFError
            left -= len(step)


def _walk(tape: _Tape, wanted: Callable[[str], int], paths: _Paths) -> Iterator[Member]:
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
        target = longer.get("linkpath") or header[157:257].split(b"\0", 1)[0].decode("utf-8")
        size = _pax_size(longer, size)
        longer = {}
        if paths.enter_folder(path, kind):
            if size:  # some readers take the bytes of a folder for further members
                raise Malformed(f"the archive's folder {shown(path)} has bytes; build it again")
        elif kind in b"12":
            paths.enter_link(path, kind, target.removeprefix("./"), size)
            yield Member(path, 0, link=target)
        else:
            paths.enter(path, kind)
            yield Member(path, size, tape.first(size, wanted(path)))
    _check_rest(tape)


class _Paths:
    """The paths that were seen; refuses what must not be in a package."""

    def __init__(self, links: bool) -> None:
        self._may_link = links
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._links: set[str] = set()

    def enter_folder(self, path: str, kind: bytes) -> bool:
        """Whether a member is a folder."""
        if kind != b"5" and not (path.endswith("/") and kind in b"\x000"):
            return False
        if path not in ("", "/"):
            self._place(path.removesuffix("/") + "/.", path)
        return True

    def enter(self, path: str, kind: bytes) -> None:
        """A file that nothing was in the place of."""
        if kind not in b"\x000":
            raise _is_link(path)
        self._place(path, path)
        if path in self._files:
            raise Malformed(f"the archive holds {shown(path)} twice")
        self._files.add(path)

    def enter_link(self, path: str, kind: bytes, target: str, size: int) -> None:
        """A link that leads to a place inside of the first folder, and that nothing lies behind."""
        if not self._may_link:
            raise _is_link(path)
        self.enter(path, b"0")
        self._links.add(path)
        place = target
        if kind == b"2":
            place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        plain = target.isprintable() and not target.startswith("/") and "\\" not in target and not path.endswith("/")
        # `..` behind a name may lead out through another link.
        below = dropwhile(lambda part: part in ("..", "."), target.split("/"))
        inside = place.startswith(path.split("/", 1)[0] + "/") and ".." not in below
        there = kind == b"2" or target in self._files
        if size or not (plain and inside and there) or path in self._folders:
            raise Malformed(f"the archive's member {shown(path)} links to {shown(target)}; put a file in its place")

    def _place(self, path: str, shown_path: str) -> None:
        check_path(shown_path)
        folder = posixpath.dirname(path)
        while folder and folder not in self._folders:
            self._folders.add(folder)
            if folder in self._links:
                raise Malformed(f"the archive's member {shown(shown_path)} lies behind a link")
            folder = posixpath.dirname(folder)


def _is_link(path: str) -> Malformed:
    return Malformed(f"the archive's member {shown(path)} is a link or a device; put files in its place")


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
    ustar = header[257:263] == b"ustar\0"
    prefix = header[345:500].split(b"\0", 1)[0] if ustar else b""
    if prefix and header[263:265] != b"00":  # readers differ in whether it counts then
        raise Malformed("the archive has headers of an unknown version; build it again")
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
        if b"\n" in record[:-1] or b"\0" in record:  # some readers take what follows for a record of its own
            raise Malformed("the archive has an extended header of several lines; build it again")
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
