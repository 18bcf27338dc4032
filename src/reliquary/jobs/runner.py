"""The work behind the answers: tallies, limits, sweeps, and jobs that somebody asked for."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog

from reliquary.errors import ReliquaryError
from reliquary.jobs import gc, purge, refresh, verify
from reliquary.repositories.proxy import Proxy
from reliquary.settings import Settings
from reliquary.web.state import State

log = structlog.get_logger("reliquary.jobs")
TICK = 1.0
TURN = 2.0
"""Seconds between two looks whether the worker that runs the jobs is gone."""
FLUSH = 30.0
TIDY = 3600.0
SOON = 60.0
"""Seconds after a start at which the first tidying begins: a restart must not be slow for it."""
KEPT_CHANGES = 100_000


class Runner:
    """Each worker has one and writes its own tallies; the jobs are done in one worker, the one that
    holds ``jobs.lock``. What they do may also be asked for by hand at any time.

    Args:
        flush: writes the tallies.
        tell: lets the other workers know the counters of this one.
    """

    def __init__(
        self,
        state: State,
        settings: Settings,
        flush: Callable[[], Awaitable[None]],
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._settings = settings
        self._flush = flush
        self._tell = tell
        self._requeued = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [
            asyncio.create_task(self._every(FLUSH, self._flush)),
            asyncio.create_task(self._every(TICK, self._told, first=0.0)),
            asyncio.create_task(self._in_turn()),
        ]

    async def stop(self) -> None:
        """End; a job in the middle is safe to be cut."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _told(self) -> None:
        self._tell()

    async def _in_turn(self) -> None:
        """Wait until no other worker runs the jobs, then run them for good: death frees the lock."""
        descriptor = _hold(self._settings.data / "jobs.lock")
        while descriptor is None:
            await asyncio.sleep(TURN)
            descriptor = _hold(self._settings.data / "jobs.lock")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._every(TIDY, self._tidy, first=SOON))
                tasks.create_task(self._every(TICK, self._queue, first=0.0))
        finally:
            os.close(descriptor)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]], *, first: float | None = None) -> None:
        await asyncio.sleep(seconds if first is None else first)
        while True:
            try:
                await work()
            except ReliquaryError as error:
                log.warning("job failed", reason=error.message)
            except Exception:
                log.exception("job failed")
            await asyncio.sleep(seconds)

    async def _tidy(self) -> None:
        """Bounds that are kept in the background: cache limits, old changes, unreferenced blobs."""
        context = self._state.context
        await gc.finish_interrupted(context, self._settings.gc_grace)
        for repository in self._state.estate.repositories.values():
            if isinstance(repository, Proxy):
                await repository.evict()
        await context.catalog.changes.trim(KEPT_CHANGES)
        await gc.collect(context, grace=self._settings.gc_grace, dry_run=False)

    async def _queue(self) -> None:
        """Jobs asked for through the API, one at a time, first those that a killed worker left half-way."""
        jobs = self._state.context.catalog.jobs
        if not self._requeued:
            await jobs.requeue(self._state.context.now())
            self._requeued = True
        while (job := await jobs.claim()) is not None:
            try:
                outcome = await self.run(job.kind, dict(job.args))
            except ReliquaryError as error:
                await jobs.finish(job.id, None, error.message)
            except Exception:
                # A job that stayed "running" would be queued again by every start.
                log.exception("job failed", job=job.id, kind=job.kind)
                await jobs.finish(job.id, None, "something went wrong; it was logged")
            else:
                await jobs.finish(job.id, outcome)

    async def run(self, kind: str, args: dict[str, str]) -> dict[str, object]:
        """Carry out one job; returns what it did, as plain values."""
        context, estate = self._state.context, self._state.estate
        if kind == "gc":
            swept = await gc.collect(context, grace=self._settings.gc_grace, dry_run=args.get("dry_run") == "true")
            return {"blobs": swept.count, "bytes": swept.bytes}
        if kind == "verify":
            report = await verify.verify(context, repair=args.get("repair") == "true")
            return {"checked": report.checked, "damaged": [str(each) for each in report.damage]}
        if kind == "refresh":
            return {"pages": await refresh.refresh(estate, args["repository"], args.get("name"))}
        if kind == "purge":
            return {"files": await purge.purge(context, estate, args["repository"], args.get("name"))}
        raise ReliquaryError(f"there is no job {kind}")


def _hold(path: Path) -> int | None:
    """The descriptor that holds the lock, None when another has it or there is no room for the file."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor
    return None


KINDS = ("gc", "verify", "refresh", "purge")
"""Jobs that may be asked for."""
