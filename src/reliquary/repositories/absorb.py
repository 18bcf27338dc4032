"""Taking in what an upstream's page says: entries become rows, known bytes stay known."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from reliquary.catalog.records import NewFile, Touched
from reliquary.formats.base import PageKey, Reading, Source
from reliquary.repositories.context import Context
from reliquary.repositories.rows import new_file
from reliquary.types import Entry, StoredFile, UpstreamState

if TYPE_CHECKING:
    from reliquary.repositories.proxy import Proxy


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
    return files


def _merge(proxy: Proxy, row: StoredFile, entry: Entry) -> Entry:
    if entry.published is None and row.entry.published is not None:
        entry = replace(entry, published=row.entry.published)
    if row.blob is None:
        return entry
    known = replace(row.entry, size=row.size)
    return proxy.format.renew(known, entry)
