"""Taking in what an upstream's page says: entries become rows, known bytes stay known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from reliquary.catalog.records import NewFile, Touched
from reliquary.formats.base import PageKey, Reading, Source
from reliquary.repositories.context import Context
from reliquary.repositories.rows import new_file
from reliquary.types import Digests, Entry, StoredFile, UpstreamState

if TYPE_CHECKING:
    from reliquary.repositories.proxy import Proxy

log = structlog.get_logger("reliquary.absorb")


async def absorb(
    proxy: Proxy, context: Context, key: PageKey, source: Source, state: UpstreamState, *, first: bool
) -> None:
    """Parse a document (in a thread, it may be large) and write its rows in one transaction.

    Args:
        first: nothing was known of the page before, so that its files' age is unknown too.

    Raises:
        Unavailable: the document is not usable; nothing was replaced.
    """
    reading: Reading = await asyncio.to_thread(proxy.read, key, source)
    known = {row.entry.key: row for row in await context.catalog.files.in_scope(proxy.spec.id, key.scope)}
    files = await asyncio.to_thread(_rows, proxy, context, reading.entries, known, first)
    scopes = (key.scope,)
    await _replace(proxy, context, files, known, scopes)
    properties = {key.name: dict(reading.properties)} if key.name and reading.properties else {}
    await context.catalog.files.sync(
        proxy.spec.id,
        key.scope,
        files,
        properties=properties,
        state=state,
        touched=Touched(scopes=scopes, groups=proxy.groups),
        now=context.now(),
    )
    context.hot.drop((proxy.spec.id, *proxy.groups), scopes)


def _rows(
    proxy: Proxy, context: Context, entries: Sequence[Entry], known: dict[str, StoredFile], first: bool
) -> list[NewFile]:
    now, files = context.now(), []
    for entry in entries:
        row = known.get(entry.key)
        if row is not None:
            merged = _merge(proxy, row, entry)
            files.append(new_file(proxy.format, merged, now, first_seen=row.first_seen))
            continue
        if not first and entry.published is None and entry.listed:
            # It came between two refreshes, so its age is known, by our own clock.
            entry = replace(entry, published=now)
        files.append(new_file(proxy.format, entry, now))
    return files + _superseded(proxy, known, {entry.key: entry.filename for entry in entries}, now)


def _superseded(
    proxy: Proxy, known: Mapping[str, StoredFile], listed: Mapping[str, str], now: datetime
) -> list[NewFile]:
    """Stored files whose names the page gives to other bytes: their addresses live on, for lock
    files, but the page lists each name once."""
    names = set(listed.values())
    old = [row for key, row in known.items() if key not in listed and row.blob is not None]
    return [
        new_file(proxy.format, replace(row.entry, listed=False), now, first_seen=row.first_seen)
        for row in old
        if row.entry.listed and row.entry.filename in names
    ]


async def _replace(
    proxy: Proxy, context: Context, files: Sequence[NewFile], known: Mapping[str, StoredFile], scopes: Sequence[str]
) -> None:
    """Forget rows whose page now names other bytes under the same address: neither the bytes nor
    the ETag that were fixed for them may be served any more."""
    stale = [
        file.entry.key
        for file in files
        if (row := known.get(file.entry.key)) is not None and _contradict(row.entry.digests, file.entry.digests)
    ]
    if stale:
        log.warning("upstream put new bytes under an old name", repository=proxy.spec.title, files=len(stale))
        touched = Touched(scopes=tuple(scopes), groups=proxy.groups)
        await context.catalog.files.remove(proxy.spec.id, stale, touched=touched, tombstones=False)


def _contradict(old: Digests, new: Digests) -> bool:
    return any(old[algorithm] != new[algorithm] for algorithm in old.keys() & new.keys())


def _merge(proxy: Proxy, row: StoredFile, entry: Entry) -> Entry:
    if entry.published is None and row.entry.published is not None:
        entry = replace(entry, published=row.entry.published)
    if row.blob is None and row.verified_by is None:
        return entry
    # Bytes that were evicted taught us as much as bytes that are here.
    known = replace(row.entry, size=row.size)
    return proxy.format.renew(known, entry)
