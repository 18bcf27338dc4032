"""Making room in a proxy's cache: the least recently used files go first, pinned ones stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from reliquary.access.globs import matches
from reliquary.blobs.sweep import Sweepable, remove
from reliquary.failpoints import reach
from reliquary.repositories.context import Context

if TYPE_CHECKING:
    from reliquary.repositories.proxy import Proxy


async def make_room(proxy: Proxy, context: Context, most: int) -> int:
    """Bring a cache below ``most`` bytes; returns how many files went."""
    spec, files, gone = proxy.spec, context.catalog.files, 0
    pins = spec.options.get("pins", ())
    await files.used(dict(context.used))
    blobs: list[str] = []
    over = await files.usage(spec.id) - int(most)
    pinned = 0
    while over > 0 and (rows := await files.evictable(spec.id, 1000, pinned)):
        for row in rows:
            if over <= 0:
                break
            if any(matches(glob, row.name) for glob in pins):
                pinned += 1
                continue
            await files.evict(spec.id, row.key)
            reach("evict.forgotten")
            proxy.forget(row.key)
            over, gone = over - row.size, gone + 1
            blobs.append(row.blob)
    # At once, not with the next sweep: the disk is what the limit is for.
    await remove(cast("Sweepable", context.store), blobs, files.blobs_referenced, now=context.now())
    return gone
