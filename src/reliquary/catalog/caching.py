"""What a proxy repository writes: upstream pages come in, bytes arrive, get lost, are evicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, Update, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from reliquary.catalog import placing
from reliquary.catalog.database import Query
from reliquary.catalog.publishing import TOMBSTONE
from reliquary.catalog.recording import number, record_now
from reliquary.catalog.records import NewFile, Renewal, Touched
from reliquary.catalog.rows import files_in_scope, size_of, stored_file
from reliquary.catalog.storing import (
    delete_files,
    package_ids,
    prune,
    put_files,
    read_properties,
    write_properties,
)
from reliquary.catalog.tables import File, Package, Repository, Upstream, plain
from reliquary.errors import NotHere
from reliquary.failpoints import reach
from reliquary.types import Kind, StoredFile


@cache
def _ids() -> Query:
    return select(Package.name, Package.id).where(
        Package.repository_id == bindparam("repository"), Package.name.in_(bindparam("names", expanding=True))
    )


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


async def renew_files(
    connection: AsyncConnection,
    repository_id: int,
    scope: str,
    renew: Callable[[Sequence[StoredFile]], Renewal],
    now: datetime,
) -> set[str]:
    """Let ``renew`` say what becomes of the scope's rows; returns the packages that changed."""
    rows = await connection.execute(files_in_scope(), {"repository": repository_id, "scope": scope})
    stored = [stored_file(row) for row in rows]
    renewal = renew(stored)
    known, gone = {row.entry.key: row for row in stored}, set(renewal.gone)
    fresh = [file for file in renewal.files if differs(known.get(file.entry.key), file)]
    lost = {row.entry.name for row in stored if row.id in gone}
    await delete_files(connection, gone)
    await put_files(connection, repository_id, fresh, now)
    moved = {file.entry.name for file in fresh if file.entry.key in known}
    await prune_names(connection, repository_id, lost | moved)
    return {file.entry.name for file in fresh} | lost


async def sync_properties(
    connection: AsyncConnection, repository_id: int, properties: Mapping[str, Mapping[str, str]]
) -> set[str]:
    """Make the facts on the named packages exactly those given; returns the packages that changed."""
    if not properties:
        return set()
    of = {"repository": repository_id, "names": list(properties)}
    known = {row.name: row.id for row in await connection.execute(_ids(), of)}
    facts = await read_properties(connection, known.values())
    changed: dict[str, dict[str, str | None]] = {}
    for name, values in properties.items():
        old = {key: value for key, value in facts.get(known.get(name, 0), {}).items() if not key.startswith(TOMBSTONE)}
        if old != dict(values):
            changed[name] = {**dict.fromkeys(old), **values}
    ids = await package_ids(connection, repository_id, changed)
    for name, values_or_none in changed.items():
        await write_properties(connection, ids[name], values_or_none)
    await prune_names(connection, repository_id, {name for name in changed if not properties[name]})
    return set(changed)


async def prune_names(connection: AsyncConnection, repository_id: int, names: set[str]) -> None:
    """Delete what is empty of the named packages."""
    if not names:
        return
    query = select(Package.id).where(Package.repository_id == repository_id, Package.name.in_(names))
    await prune(connection, list(await connection.scalars(query)))


@cache
def _repository() -> Query:
    return select(Repository.id).where(Repository.id == bindparam("repository"))


@cache
def _teach() -> Update:
    of = (Upstream.repository_id == bindparam("repository"), Upstream.path.in_(bindparam("paths", expanding=True)))
    return update(Upstream).where(*of).values(learned=True)


def store_fetched(
    connection: Connection,
    repository_id: int,
    files: Sequence[NewFile],
    pages: Sequence[str],
    touched: Touched | None,
    now: datetime,
) -> None:
    """Write rows with their bytes. See `Files.fetched`."""
    if connection.execute(_repository(), {"repository": repository_id}).first() is None:
        raise NotHere("the repository was deleted while the file was on its way")
    names = {file.entry.name for file in files}
    placing.put(connection, repository_id, placing.package_ids(connection, repository_id, names), files, now)
    if pages:
        connection.execute(_teach(), {"repository": repository_id, "paths": pages})
    if touched is not None:
        record_now(connection, repository_id, touched, names)
    reach("fill.before-commit")


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
