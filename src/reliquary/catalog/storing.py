"""Writing and removing rows of packages, versions, blobs and files inside a transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reliquary.catalog import placing
from reliquary.catalog.database import batches, upsert
from reliquary.catalog.records import Facts, NewFile
from reliquary.catalog.rows import ENTRY_COLUMNS, file_values, size_of
from reliquary.catalog.tables import File, Property, Version

PACKAGE = "package"
VERSION = "version"
FILE = "file"


async def package_ids(connection: AsyncConnection, repository_id: int, names: Collection[str]) -> dict[str, int]:
    """Ids of packages by name, missing ones created; other writers are kept off them."""
    return await connection.run_sync(placing.package_ids, repository_id, names) if names else {}


async def version_ids(connection: AsyncConnection, wanted: Collection[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """Ids of versions by (package id, version), missing ones created."""
    rows = [{"package_id": package_id, "version": version} for package_id, version in sorted(wanted)]
    await connection.execute(upsert(connection, Version).on_conflict_do_nothing(), rows)
    ids: dict[tuple[int, str], int] = {}
    for batch in batches({package_id for package_id, _ in wanted}):
        query = select(Version.package_id, Version.version, Version.id).where(Version.package_id.in_(batch))
        ids.update(((row.package_id, row.version), row.id) for row in await connection.execute(query))
    return ids


async def put_blobs(
    connection: AsyncConnection, blobs: Iterable[tuple[str, int, Mapping[str, str]]], now: datetime
) -> None:
    """Make sure there is a Blob row for each (digest, size in bytes, digests)."""
    rows = [
        {"digest": digest, "size": size, "digests": digests, "created": now}
        for digest, size, digests in sorted(blobs, key=lambda blob: blob[0])
    ]
    if rows:
        await connection.execute(placing.insert_blob(connection.dialect.name), rows)


def _blob(file: NewFile) -> tuple[str, int, Mapping[str, str]] | None:
    if file.blob is None:
        return None
    size = size_of(file)
    if size is None:
        raise ValueError(f"{file.entry.key} has bytes but no size")
    return file.blob, size, file.digests


async def put_files(connection: AsyncConnection, repository_id: int, files: Sequence[NewFile], now: datetime) -> None:
    """Insert File rows with all they hang on. A row with the same key keeps its bytes, ETag and times, and
    takes only what the index says; `placing.put` overwrites."""
    if not files:
        return
    await put_blobs(connection, filter(None, map(_blob, files)), now)
    packages = await package_ids(connection, repository_id, {file.entry.name for file in files})
    versions = await version_ids(connection, {(packages[file.entry.name], file.entry.version) for file in files})
    rows = [
        file_values(file, repository_id, versions[packages[file.entry.name], file.entry.version], now) for file in files
    ]
    statement = upsert(connection, File)
    taken: dict[str, Any] = {name: statement.excluded[name] for name in ENTRY_COLUMNS}
    taken["size"] = func.coalesce(statement.excluded.size, File.size)
    for name in ("blob", "fetched_at", "verified_by", "publisher"):
        taken[name] = func.coalesce(getattr(File, name), statement.excluded[name])
    conflict = statement.on_conflict_do_update(index_elements=["repository_id", "key"], set_=taken)
    await connection.execute(conflict, rows)


async def delete_files(connection: AsyncConnection, ids: Collection[int]) -> None:
    """Delete File rows and the facts on them."""
    for batch in batches(ids):
        await connection.execute(delete(Property).where(Property.kind == FILE, Property.owner_id.in_(batch)))
        await connection.execute(delete(File).where(File.id.in_(batch)))


async def prune(connection: AsyncConnection, packages: Collection[int]) -> None:
    """Delete versions without files, and packages without versions and facts."""
    await connection.run_sync(placing.prune, packages)


async def read_properties(connection: AsyncConnection, packages: Collection[int]) -> dict[int, dict[str, str]]:
    """Facts on packages by id; packages without facts are not in it."""
    found: dict[int, dict[str, str]] = {}
    for batch in batches(packages):
        query = select(Property.owner_id, Property.name, Property.value).where(
            Property.kind == PACKAGE, Property.owner_id.in_(batch)
        )
        for row in await connection.execute(query):
            found.setdefault(row.owner_id, {})[row.name] = row.value
    return found


async def write_properties(connection: AsyncConnection, package_id: int, values: Mapping[str, str | None]) -> None:
    """Write facts on a package; None removes one."""
    await connection.run_sync(placing.put_facts, package_id, Facts("", values))
