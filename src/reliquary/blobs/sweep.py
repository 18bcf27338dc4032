"""Removing blobs that nothing names any more.

A blob is moved to the trash before the rows are asked a second time: from then on nobody can
refresh it, so what the second look says stays true. A kill in between leaves it in the trash,
where `restore_trash` finds it at the next start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from reliquary.blobs.base import BlobInfo
from reliquary.failpoints import reach

BATCH = 500
"""Blobs that the rows are asked about at once."""

Referenced: TypeAlias = Callable[[Sequence[str]], Awaitable[set[str]]]
"""Which of these blobs does a row name?"""


class Sweepable(Protocol):
    """What a store must be able to do to be swept."""

    def blobs(self) -> AsyncIterator[BlobInfo]:
        """Every blob."""

    async def bury(self, blob: str) -> BlobInfo | None:
        """Move the blob to the trash; what it was then, or None when it is gone."""

    async def restore(self, blob: str) -> None:
        """Put a buried blob back."""

    async def discard(self, blob: str) -> bool:
        """Remove a buried blob for good."""

    def buried(self) -> AsyncIterator[BlobInfo]:
        """Every blob in the trash."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What was removed, or would be: how many blobs, their bytes, their names."""

    count: int
    bytes: int
    blobs: tuple[str, ...]


async def sweep(store: Sweepable, referenced: Referenced, *, grace: float, dry_run: bool, now: datetime) -> Swept:
    """Remove every unreferenced blob that nobody wrote or touched for ``grace`` seconds.

    Args:
        now: an aware time; blobs younger than ``now - grace`` are left alone.
        dry_run: remove nothing, return what a run would remove.
    """
    cutoff = now - timedelta(seconds=grace)
    removed: list[BlobInfo] = []
    async for batch in _batches(store.blobs(), cutoff):
        names = await referenced([info.blob for info in batch])
        idle = [info for info in batch if info.blob not in names]
        removed += idle if dry_run else await _remove(store, idle, referenced, cutoff)
    return _swept(removed)


async def remove(store: Sweepable, blobs: Sequence[str], referenced: Referenced, *, now: datetime) -> Swept:
    """Remove these blobs at once if no row names them: how a cache makes room. A blob that is
    written again meanwhile is younger than ``now`` and stays."""
    names = await referenced(blobs) if blobs else set()
    idle = [BlobInfo(blob, 0, now) for blob in blobs if blob not in names]
    return _swept(await _remove(store, idle, referenced, now))


async def restore_trash(store: Sweepable, referenced: Referenced, *, grace: float, now: datetime) -> Swept:
    """Finish a sweep that was killed; what was removed. To be called at start.

    A blob younger than ``grace`` seconds is put back even without a row: its row may be on the
    way in another process.
    """
    removed: list[BlobInfo] = []
    batch: list[BlobInfo] = []
    cutoff = now - timedelta(seconds=grace)
    async for info in store.buried():
        batch.append(info)
        if len(batch) == BATCH:
            removed += await _settle(store, batch, referenced, cutoff)
            batch = []
    removed += await _settle(store, batch, referenced, cutoff)
    return _swept(removed)


async def _batches(found: AsyncIterator[BlobInfo], cutoff: datetime) -> AsyncIterator[list[BlobInfo]]:
    batch: list[BlobInfo] = []
    async for info in found:
        if info.modified > cutoff:
            continue
        batch.append(info)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _remove(
    store: Sweepable, idle: Sequence[BlobInfo], referenced: Referenced, cutoff: datetime
) -> list[BlobInfo]:
    buried: list[BlobInfo] = []
    try:
        for each in idle:
            reach("sweep.before-bury")
            info = await store.bury(each.blob)
            reach("sweep.buried")
            buried += [info] if info is not None else []
        return await _settle(store, buried, referenced, cutoff)
    except BaseException:
        # Rows that could not be asked may name these blobs; what is gone already stays gone.
        for info in buried:
            await store.restore(info.blob)
        raise


async def _settle(
    store: Sweepable, buried: Sequence[BlobInfo], referenced: Referenced, cutoff: datetime
) -> list[BlobInfo]:
    if not buried:
        return []
    names = await referenced([info.blob for info in buried])
    removed = []
    for info in buried:
        if info.blob in names or info.modified > cutoff:
            await store.restore(info.blob)
        else:
            reach("sweep.before-discard")
            await store.discard(info.blob)
            reach("sweep.discarded")
            removed.append(info)
    return removed


def _swept(removed: Sequence[BlobInfo]) -> Swept:
    return Swept(len(removed), sum(info.size for info in removed), tuple(info.blob for info in removed))
