"""The folder of one fill, and its lock file."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from reliquary.blobs.base import CHUNK
from reliquary.blobs.files import Descriptor

TRIES = 100
"""Times that the folder of a lock file is made."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known before the first byte; ``size`` in bytes, ``etag`` without quotes."""

    size: int | None = None
    content_type: str | None = None
    etag: str | None = None
    modified: datetime | None = None


class Ledger:
    """The lock file of one leadership, and the folder around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.body = folder / "body"
        self._path = folder / "lock"
        for _ in range(TRIES):
            # The folder may be removed by its last leader between any two calls, also while it is found to exist.
            with suppress(FileNotFoundError, FileExistsError):
                folder.mkdir(parents=True, exist_ok=True)
                self._file = Descriptor(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
                return
        raise FileExistsError(errno.EEXIST, "something that is no folder is in the way", str(folder))

    def hold(self) -> bool:
        """Take the lock unless another holds it."""
        try:
            fcntl.flock(self._file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def current(self) -> bool:
        """Whether the folder still has this lock file, or a later one."""
        return self._file.same_as(self._path)

    def unused(self) -> bool:
        """Whether nobody ever led by this lock file; to be asked while holding it."""
        return self.current() and os.fstat(self._file.fd).st_size == 0 and not self.body.exists()

    def note(self, record: dict[str, Any]) -> None:
        """Add a line."""
        os.write(self._file.fd, orjson.dumps(record) + b"\n")

    def records(self) -> list[dict[str, Any]]:
        """The whole lines so far: first the head, then the end."""
        text = os.pread(self._file.fd, CHUNK, 0)
        return [orjson.loads(line) for line in text.split(b"\n")[:-1]]

    def open_body(self) -> Descriptor | None:
        """The body of this leadership, None when it is not there (yet, or any more).

        A body that was opened while the lock file is in place belongs to it: a later leadership
        makes its lock file first.
        """
        with suppress(FileNotFoundError):
            body = Descriptor(self.body, os.O_RDONLY)
            return body if self.current() else None
        return None

    def remove(self) -> None:
        """Remove the folder, while holding the lock. The lock file goes last but for the folder:
        until then nobody else can lead, and after it another may already fill the folder anew."""
        if not self.current():
            return
        for path in (self.body, self.folder / "adopted", self._path):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def release(self) -> None:
        """Free the lock. The file stays open as long as a thread may still write to it."""
        fcntl.flock(self._file.fd, fcntl.LOCK_UN)


def pack(head: Head) -> dict[str, Any]:
    """The head as a record."""
    modified = None if head.modified is None else head.modified.isoformat()
    return {"size": head.size, "content_type": head.content_type, "etag": head.etag, "modified": modified}


def unpack(record: dict[str, Any]) -> Head:
    """The head that `pack` made a record of."""
    modified = record["modified"]
    return Head(
        record["size"],
        record["content_type"],
        record["etag"],
        None if modified is None else datetime.fromisoformat(modified),
    )
