"""Single flight: any number of askers, one doing, and nobody's leaving cancels it.

Within a process a task is shared. Between processes of one data folder a lock file is, held by
flock(2), so that death frees it. A lock file serves one holder only, who leaves in it what came of
the work and removes it; whoever waited for it has it open, and reads that.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import orjson

from reliquary.errors import NotHere, Unavailable

T = TypeVar("T")
POLL, LONGEST_POLL = 0.004, 0.05
"""Seconds between two looks at a lock that another process holds: at first, and later."""
MOST = 65_536


class Flights:
    """Work under way, by key."""

    def __init__(self) -> None:
        self._tasks: dict[Any, asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, key: Any, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        """The task that does the work for this key: a running one, or a new one."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.ensure_future(_run(work))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return task

    async def join(self, key: Any, work: Callable[[], Awaitable[T]]) -> T:
        """Wait for the work of this key; its error is raised in every asker."""
        return await asyncio.shield(self.begin(key, work))

    def _landed(self, key: Any, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            task.exception()  # an error nobody waited for is not a warning


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


@asynccontextmanager
async def turn(data: Path | None, key: str) -> AsyncIterator[None]:
    """Do something in one process of a data folder at a time.

    Inside, look first whether it is still to be done: another process may have done it meanwhile.

    Args:
        data: the data folder; None: there are no other processes.
        key: any text; the same key means the same work.

    Raises:
        NotHere, Unavailable: what another process raised, that did it while we waited.
    """
    path = None if data is None else _folder(data) / hashlib.sha256(key.encode()).hexdigest()
    descriptor = None if path is None else await _acquire(path)
    if path is None or descriptor is None:
        yield
        return
    try:
        found = orjson.loads(os.pread(descriptor, MOST, 0) or b"null")
        if found is not None:
            _raise(found)
            yield
            return
        with _telling(path, descriptor):
            yield
    finally:
        os.close(descriptor)


@contextmanager
def _telling(path: Path, descriptor: int) -> Iterator[None]:
    """Remove the lock file, and leave what came of the work to those who have it open."""
    record: dict[str, Any] | None = None  # cancelled, or something unforeseen: the next one tries again
    try:
        yield
        record = {}
    except (NotHere, Unavailable) as error:
        record = {"error": error.message, "code": error.code, "retry_after": getattr(error, "retry_after", None)}
        raise
    finally:
        # In this order: what is told to those who wait is nothing that a later asker may find.
        with suppress(OSError):
            path.unlink()
            if record is not None:
                os.pwrite(descriptor, orjson.dumps(record), 0)


def _raise(record: dict[str, Any]) -> None:
    if "error" not in record:
        return
    if record["retry_after"] is None:
        raise NotHere(record["error"], code=record["code"])
    raise Unavailable(record["error"], code=record["code"], retry_after=record["retry_after"])


async def _acquire(path: Path) -> int | None:
    """The locked lock file: new, or with what its holder left. None where there is no room for one."""
    pause = POLL
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        try:
            while not _hold(descriptor):
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, LONGEST_POLL)
        except BaseException:
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_size or _current(path, descriptor):
            return descriptor
        os.close(descriptor)  # its holder died or left nothing; another may hold the next one


def _hold(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _current(path: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _folder(data: Path) -> Path:
    return data / "flights"


def clean(data: Path) -> None:
    """Make the folder of lock files, and remove those that killed processes left."""
    folder = _folder(data)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in folder.iterdir():
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if _hold(descriptor) and _current(path, descriptor):
                    path.unlink()
            finally:
                os.close(descriptor)
