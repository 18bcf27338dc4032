"""Single files on a local disk: written with their digests, read without blocking."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from reliquary.blobs import Hashes
from reliquary.blobs.base import Receipt
from reliquary.errors import CannotTell, Full


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn what the operating system says of the disk into Full or CannotTell."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Full(f"there is no room on the server's disk to {doing}; nothing was stored") from error
        raise CannotTell(f"the server's disk refused to {doing}: {error.strerror}") from error


class HeldFile:
    """A new file, held by a lock that says somebody is at it; a writer that dies lets go.

    Its methods block and run in threads. A cancelled asker leaves its thread writing, so closing
    waits for that write: a descriptor closed under it might name another file by then.

    Args:
        path: where; nothing may be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with disk_errors("begin a file"):
            self._file = path.open("xb", buffering=0)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, data: bytes) -> None:
        """Write; raises Full or CannotTell."""
        with self._lock, disk_errors("write a file"):
            self._write(data)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def sync(self) -> None:
        """Put what was written on the platter."""
        with self._lock, disk_errors("write a file"):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """No more bytes."""
        with self._lock, disk_errors("write a file"):
            self._file.close()

    def drop(self) -> None:
        """Close and remove, whatever state it is in."""
        with suppress(CannotTell):
            self.close()
        with suppress(OSError):
            self.path.unlink()


class Spool(HeldFile):
    """A new file that grows and is hashed as it does.

    Args:
        algorithms: the digests to take besides sha256.
    """

    def __init__(self, path: Path, algorithms: Sequence[str] = ()) -> None:
        super().__init__(path)
        self._hashes = Hashes(algorithms)

    def append(self, data: bytes) -> None:
        """Hash and write; raises Full or CannotTell."""
        with self._lock, disk_errors("write a file"):
            self._hashes.update(data)
            self._write(data)

    def receipt(self) -> Receipt:
        """What was written so far."""
        with self._lock:
            return self._hashes.receipt()


def held(path: Path) -> bool:
    """Whether a `Spool` still has the file open, in any process."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read_cached(fd: int, buffer: bytearray, offset: int) -> int | None:
    """Read into ``buffer`` what the page cache holds at ``offset``, without ever blocking.

    Returns:
        The count of bytes, 0 at the end of the file, None when reading would block or the file
        system cannot say (EAGAIN, and EOPNOTSUPP on tmpfs; see preadv2(2), RWF_NOWAIT).
    """
    try:
        return os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
            return None
        raise


async def read_at(fd: int, size: int, offset: int) -> bytes:
    """Up to ``size`` bytes at ``offset``; at least one unless the file ends there."""
    with disk_errors("read a file"):
        buffer = bytearray(size)
        count = read_cached(fd, buffer, offset)
        if count is None:
            # Not shielded: a positioned read whose result nobody takes does no harm.
            return await asyncio.to_thread(os.pread, fd, size, offset)
        return bytes(memoryview(buffer)[:count])


class Descriptor:
    """An open file that is closed when the last one who holds it lets go: readers, threads that
    read and askers that have not begun to read leave in no order."""

    def __init__(self, path: Path, flags: int) -> None:
        self.fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self.close = weakref.finalize(self, os.close, self.fd)

    def same_as(self, path: Path) -> bool:
        """Whether ``path`` still names this very file."""
        with suppress(FileNotFoundError):
            return os.path.samestat(path.stat(), os.fstat(self.fd))
        return False
