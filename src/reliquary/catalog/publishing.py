"""What a hosted repository writes: files come, change and go, inside a transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from reliquary.catalog.database import AnyRow, batches
from reliquary.catalog.records import NewFile
from reliquary.catalog.storing import (
    delete_files,
    package_ids,
    prune,
    put_files,
    read_properties,
    write_properties,
)
from reliquary.catalog.tables import File, Package, Version
from reliquary.errors import AlreadyThere
from reliquary.failpoints import reach

TOMBSTONE = "removed:"
"""Prefix of the fact that keeps the SHA-256 of a removed file under its file name."""


def taken(file: NewFile) -> AlreadyThere:
    """The refusal of other bytes under a name."""
    entry = file.entry
    return AlreadyThere(f"{entry.filename} of {entry.name} is already there with other content")


async def _by_key(connection: AsyncConnection, repository_id: int, keys: Collection[str]) -> dict[str, AnyRow]:
    found: dict[str, AnyRow] = {}
    for batch in batches(keys):
        query = (
            select(File.id, File.key, File.filename, File.listed, File.blob, Version.package_id, Package.name)
            .join(Version, Version.id == File.version_id)
            .join(Package, Package.id == Version.package_id)
            .where(File.repository_id == repository_id, File.key.in_(batch))
        )
        found.update((row.key, row) for row in await connection.execute(query))
    return found


async def _listed_blobs(
    connection: AsyncConnection, packages: Collection[int], filenames: Collection[str]
) -> dict[tuple[int, str], str | None]:
    found: dict[tuple[int, str], str | None] = {}
    for batch in batches(filenames):
        query = (
            select(Version.package_id, File.filename, File.blob)
            .join(Version, Version.id == File.version_id)
            .where(Version.package_id.in_(packages), File.listed, File.filename.in_(batch))
        )
        found.update(((row.package_id, row.filename), row.blob) for row in await connection.execute(query))
    return found


async def _refuse_reuse(connection: AsyncConnection, packages: Mapping[str, int], additions: Sequence[NewFile]) -> None:
    facts = await read_properties(connection, packages.values())
    for file in additions:
        removed = facts.get(packages[file.entry.name], {}).get(TOMBSTONE + file.entry.filename)
        if file.entry.listed and removed is not None and removed != file.blob:
            raise AlreadyThere(f"{file.entry.filename} was removed and cannot come back with other content")


async def add(
    connection: AsyncConnection,
    repository_id: int,
    additions: Sequence[NewFile],
    now: datetime,
    *,
    exclusive: bool,
    replace: bool,
    reuse: bool,
) -> list[NewFile]:
    """Insert what is not there yet; returns what was new. See `Files.add`."""
    packages = await package_ids(connection, repository_id, {file.entry.name for file in additions}, lock=exclusive)
    if not reuse:
        await _refuse_reuse(connection, packages, additions)
    stored = await _by_key(connection, repository_id, {file.entry.key for file in additions})
    filenames = {file.entry.filename for file in additions} if exclusive else set()
    named = await _listed_blobs(connection, packages.values(), filenames)
    fresh: list[NewFile] = []
    for file in additions:
        name = (packages[file.entry.name], file.entry.filename)
        if file.entry.listed and name in named:
            if named[name] != file.blob:
                raise taken(file)
            continue
        row = stored.get(file.entry.key)
        if row is not None and row.blob is not None:
            if row.blob == file.blob:
                continue
            if not replace:
                raise taken(file)
        fresh.append(file)
    await put_files(connection, repository_id, fresh, now, overwrite=True)
    reach("add.rows-written")
    if stored:
        await prune(connection, {row.package_id for row in stored.values()} | set(packages.values()))
    return fresh


async def update(
    connection: AsyncConnection, repository_id: int, files: Sequence[NewFile], now: datetime
) -> list[NewFile]:
    """Give rows that are there a new entry and fragment; returns those."""
    stored = await _by_key(connection, repository_id, {file.entry.key for file in files})
    known = [file for file in files if file.entry.key in stored]
    await put_files(connection, repository_id, known, now, overwrite=False)
    await prune(connection, {row.package_id for row in stored.values()})
    return known


async def remove(
    connection: AsyncConnection, repository_id: int, keys: Collection[str], *, tombstones: bool
) -> tuple[int, set[str]]:
    """Delete files, and what is empty then; returns how many and the names of their packages."""
    stored = await _by_key(connection, repository_id, set(keys))
    if tombstones:
        for row in stored.values():
            if row.listed and row.blob is not None:
                await write_properties(connection, row.package_id, {TOMBSTONE + row.filename: row.blob})
    await delete_files(connection, [row.id for row in stored.values()])
    reach("remove.rows-deleted")
    await prune(connection, {row.package_id for row in stored.values()})
    return len(stored), {row.name for row in stored.values()}
