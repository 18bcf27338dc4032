"""Zip archives read so strictly that every unpacker must see the same members in them."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from itertools import zip_longest
from typing import IO

from reliquary.errors import Malformed

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    KeyError,
)
"""What the zip reader raises for archives that are damaged or made to trick it."""

MEMBERS = 100_000
DIRECTORY = 64 * 1_048_576
FREE = 64 * 1_048_576
RATIO = 50

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LOCAL = struct.Struct("<4s5H3L2H")
_UNICODE_PATH = 0x7075


def strict(file: IO[bytes], *, bombs: bool = False) -> zipfile.ZipFile:
    """Open a zip archive after its framing was checked.

    One end record, at the end; no bytes before, between or after; local headers that agree with
    the directory; names that are unique, relative and plain; stored or deflated members of a
    sane count and size.

    Args:
        file: the archive, seekable.
        bombs: let it unpack to any multiple of its size: the caller has a limit of its own.

    Raises:
        Malformed: the message says what is wrong.
    """
    try:
        size = file.seek(0, 2)
        count, start = _directory(file, size)
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
        if len(members) != count:
            raise Malformed("the zip archive's directory counts other members than it lists")
        _check_names(members)
        for member in members:
            _check_member(member)
        if not bombs:
            check_ratio(sum(member.file_size for member in members), size)
        _check_layout(file, members, start)
    except BROKEN as error:
        raise Malformed("the file is not a whole, plain zip archive; build it again") from error
    return archive


def check_ratio(unpacked: int, packed: int) -> None:
    """Refuse bombs: more than 64 MiB that shrink by more than 50; raises Malformed."""
    if unpacked > FREE and unpacked > RATIO * max(packed, 1):
        raise Malformed(f"the archive unpacks to more than {RATIO} times its size: it looks like a bomb")


def _directory(file: IO[bytes], size: int) -> tuple[int, int]:
    """Count of members and offset of the central directory, which must end where the end record
    begins."""
    tail_start = max(0, size - _END.size - 65_535)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise Malformed("the file is not a zip archive: it has no end record")
    _, disk, first, here, count, length, offset, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise Malformed("the zip archive has bytes behind its end record")
    end = tail_start + at
    if tail[at - _LOCATOR.size : at].startswith(b"PK\6\7") and at >= _LOCATOR.size:
        here, count, length, offset, end = _directory64(file, end, (here, count, length, offset))
    if disk or first or here != count:
        raise Malformed("the zip archive is one part of several; send it whole")
    if count > MEMBERS or length > DIRECTORY:
        raise Malformed(f"the zip archive has more than {MEMBERS} members or an oversized directory")
    if offset + length != end:
        raise Malformed("the zip archive has foreign bytes before or between its parts")
    if tail.count(b"PK\5\6", max(0, offset - tail_start)) != 1:
        raise Malformed("the zip archive has more than one end record")
    return count, offset


def _directory64(file: IO[bytes], end: int, short: tuple[int, ...]) -> tuple[int, int, int, int, int]:
    """The same from a zip64 end record; the short record may only repeat it or refer to it."""
    file.seek(end - _LOCATOR.size)
    _, _, where, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
    if where + _END64.size != end - _LOCATOR.size:
        raise Malformed("the zip archive's zip64 end record is not where it must be")
    file.seek(where)
    mark, rest, _, _, disk, first, here, count, length, offset = _END64.unpack(file.read(_END64.size))
    if mark != b"PK\6\6" or rest != _END64.size - 12 or disk or first:
        raise Malformed("the zip archive's zip64 end record is broken")
    for small, large, full in zip(
        short, (here, count, length, offset), (0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1), strict=True
    ):
        if small not in (large, full):
            raise Malformed("the zip archive's two end records disagree")
    return here, count, length, offset, where


def _check_names(members: list[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for member in members:
        check_path(member.orig_filename)
        bare = member.filename.rstrip("/")
        if bare in seen:
            raise Malformed(f"the archive holds {shown(bare)} twice")
        seen.add(bare)


def check_path(path: str) -> None:
    """Refuse member names that leave the folder or differ between systems; raises Malformed."""
    parts = path.removesuffix("/").split("/")
    plain = path.isprintable() and "\\" not in path and ":" not in parts[0]
    if not plain or any(part in ("", ".", "..") for part in parts):
        raise Malformed(f"the archive holds a member with an unsafe name: {shown(path)}")


def shown(path: str) -> str:
    """A member's name as a message may carry it."""
    return ascii(path[:120])


def _check_member(member: zipfile.ZipInfo) -> None:
    name = shown(member.filename)
    if member.flag_bits & 0x2041:
        raise Malformed(f"the archive's member {name} is encrypted; send it in the clear")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Malformed(f"the archive's member {name} is neither stored nor deflated; installers cannot read it")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.create_system == 3 and kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Malformed(f"the archive's member {name} is a link or a device; put files in its place")
    if _UNICODE_PATH in _extra_ids(member.extra):
        raise Malformed(f"the archive's member {name} has a second name")


def _extra_ids(extra: bytes) -> list[int]:
    found: list[int] = []
    at = 0
    while at + 4 <= len(extra):
        number, length = struct.unpack_from("<2H", extra, at)
        found.append(number)
        at += 4 + length
    return found


def _check_layout(file: IO[bytes], members: list[zipfile.ZipInfo], end: int) -> None:
    """Local headers and data must fill the file up to the directory, without gap or overlap."""
    ordered = sorted(members, key=lambda member: member.header_offset)
    at = 0
    for member, following in zip_longest(ordered, ordered[1:]):
        if member.header_offset != at:
            raise Malformed("the zip archive has foreign bytes or overlapping members")
        stop = following.header_offset if following else end
        at = _check_local(file, member, stop)
    if at != end:
        raise Malformed("the zip archive has foreign bytes before its directory")


def _check_local(file: IO[bytes], member: zipfile.ZipInfo, stop: int) -> int:
    """Compare one local header with the directory; returns where the member ends."""
    file.seek(member.header_offset)
    mark, _, flags, method, _, _, _, packed, unpacked, name_size, extra_size = _LOCAL.unpack(file.read(_LOCAL.size))
    name = file.read(name_size)
    extra = file.read(extra_size)
    coded = member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437")
    if mark != b"PK\3\4" or name != coded or method != member.compress_type or flags != member.flag_bits:
        raise Malformed(f"the zip archive says two things of its member {shown(member.filename)}")
    if _UNICODE_PATH in _extra_ids(extra):
        raise Malformed(f"the archive's member {shown(member.filename)} has a second name")
    data_end = file.tell() + member.compress_size
    if flags & 0x8:
        return stop if stop - data_end in (12, 16, 20, 24) else data_end
    agreed = (member.compress_size, 2**32 - 1), (member.file_size, 2**32 - 1)
    if packed not in agreed[0] or unpacked not in agreed[1]:
        raise Malformed(f"the zip archive says two sizes of its member {shown(member.filename)}")
    return data_end


def read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A member's bytes, at most ``limit``; raises Malformed when it is larger or damaged."""
    try:
        with archive.open(name) as member:
            data = member.read(limit + 1)
    except BROKEN as error:
        raise Malformed(f"the archive's member {shown(name)} is damaged; build the file again") from error
    if len(data) > limit:
        raise Malformed(f"the archive's member {shown(name)} is larger than {limit} bytes")
    return data
