"""Garbage collection: blobs that no row names, after a time of grace."""

from __future__ import annotations

from reliquary.blobs.sweep import Sweepable, Swept, restore_trash, sweep
from reliquary.repositories.context import Context


async def collect(context: Context, *, grace: float, dry_run: bool) -> Swept:
    """Remove unreferenced blobs older than ``grace`` seconds; a dry run says what would go."""
    store: Sweepable = context.store  # type: ignore[assignment]
    files = context.catalog.files
    if not dry_run:
        await finish_interrupted(context, grace)
    swept = await sweep(store, files.blobs_referenced, grace=grace, dry_run=dry_run, now=context.now())
    if not dry_run and swept.blobs:
        await files.forget_blobs(swept.blobs)
    return swept


async def finish_interrupted(context: Context, grace: float) -> Swept:
    """Bring a sweep that was killed to its end."""
    store: Sweepable = context.store  # type: ignore[assignment]
    return await restore_trash(store, context.catalog.files.blobs_referenced, grace=grace, now=context.now())
