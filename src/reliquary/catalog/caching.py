"""What a proxy repository writes: upstream pages come in, bytes arrive, get lost, are evicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from reliquary.catalog.publishing import TOMBSTONE
from reliquary.catalog.recording import number
from reliquary.catalog.records import NewFile
from reliquary.catalog.rows import select_files, size_of, stored_file
from reliquary.catalog.storing import (
    delete_files,
    package_ids,
    prune,
    put_files,
    read_properties,
    write_properties,
)
from reliquary.catalog.tables import File, Package, Repository, plain
from reliquary.types import Kind, StoredFile


def _stored_form(value: Mapping[str, Any]) -> Any:
    return orjson.loads(orjson.dumps(value, default=plain))


def differs(stored: StoredFile | None, file: NewFile) -> bool:
    """Whether writing ``file`` over ``stored`` would change the row."""
    if stored is None or stored.fragment != file.fragment or (stored.blob is None and file.blob is not None):
        return True
    size = size_of(file)
    entry = replace(file.entry, size=stored.size if size is None else size)
    if entry == stored.entry:
        return False
    # Tuples come back from the database as lists.
    return replace(entry, data=_stored_form(entry.data), digests=_stored_form(entry.digests)) != stored.entry


async def sync_files(
    connection: AsyncConnection, repository_id: int, scope: str, files: Sequence[NewFile], now: datetime
) -> set[str]:
    """Make the scope's rows what the upstream lists; returns the packages that changed."""
    rows = await connection.execute(select_files().where(File.repository_id == repository_id, File.scope == scope))
    stored = {row.key: stored_file(row) for row in rows}
    fresh = [file for file in files if differs(stored.get(file.entry.key), file)]
    keys = {file.entry.key for file in files}
    # What upstream removed stays as long as its bytes are here: somebody depends on it.
    gone = [file for key, file in stored.items() if key not in keys and file.blob is None]
    await put_files(connection, repository_id, fresh, now, overwrite=False)
    await delete_files(connection, [file.id for file in gone])
    return {file.entry.name for file in fresh} | {file.entry.name for file in gone}


async def sync_properties(
    connection: AsyncConnection, repository_id: int, properties: Mapping[str, Mapping[str, str]]
) -> set[str]:
    """Make the facts on the named packages exactly those given; returns the packages that changed."""
    query = select(Package.name, Package.id).where(
        Package.repository_id == repository_id, Package.name.in_(properties.keys())
    )
    known = {row.name: row.id for row in await connection.execute(query)}
    facts = await read_properties(connection, known.values())
    changed: dict[str, dict[str, str | None]] = {}
    for name, values in properties.items():
        old = {key: value for key, value in facts.get(known.get(name, 0), {}).items() if not key.startswith(TOMBSTONE)}
        if old != dict(values):
            changed[name] = {**dict.fromkeys(old), **values}
    ids = await package_ids(connection, repository_id, changed)
    for name, values_or_none in changed.items():
        await write_properties(connection, ids[name], values_or_none)
    return set(changed)


async def prune_names(connection: AsyncConnection, repository_id: int, names: set[str]) -> None:
    """Delete what is empty of the named packages."""
    query = select(Package.id).where(Package.repository_id == repository_id, Package.name.in_(names))
    await prune(connection, list(await connection.scalars(query)))


async def store_fetched(
    connection: AsyncConnection,
    repository_id: int,
    key: str,
    updated: Sequence[NewFile],
    now: datetime,
    **columns: Any,
) -> set[str]:
    """Point a row at its bytes, after the rows that came with them; returns the packages written to."""
    # Rows that bring bytes bring their ETag too: a file that may change has new ones of both.
    await put_files(connection, repository_id, [file for file in updated if file.blob], now, overwrite=True)
    await put_files(connection, repository_id, [file for file in updated if not file.blob], now, overwrite=False)
    await connection.execute(
        update(File).where(File.repository_id == repository_id, File.key == key).values(last_used=now, **columns)
    )
    keys = [key, *(file.entry.key for file in updated)]
    names = (
        select_files().with_only_columns(Package.name).where(File.repository_id == repository_id, File.key.in_(keys))
    )
    return set(await connection.scalars(names))


async def forget_bytes(connection: AsyncConnection, blob: str) -> list[tuple[int, str]]:
    """Unname a blob in all proxies; returns (repository id, key) of the rows."""
    rows = (
        await connection.execute(
            select(File.id, File.repository_id, File.key, File.scope)
            .join(Repository, Repository.id == File.repository_id)
            .where(File.blob == blob, Repository.kind == Kind.PROXY.value)
        )
    ).all()
    for row in rows:
        forgotten = update(File).where(File.id == row.id)
        await connection.execute(forgotten.values(blob=None, fetched_at=None, verified_by=None))
    for repository_id in {row.repository_id for row in rows}:
        scopes = sorted({row.scope for row in rows if row.repository_id == repository_id})
        # Other processes may remember the bytes; pages say nothing of them, so none becomes dirty.
        await number(connection, repository_id, scopes)
    return [(row.repository_id, row.key) for row in rows]
