"""What a hosted repository writes: files come, change and go, inside a transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reliquary.catalog.database import AnyRow, batches
from reliquary.catalog.placing import package_ids, put, put_facts
from reliquary.catalog.placing import prune as prune_now
from reliquary.catalog.records import Facts, NewFile
from reliquary.catalog.storing import PACKAGE, delete_files, prune, put_files, write_properties
from reliquary.catalog.tables import File, Package, Property, Version
from reliquary.errors import AlreadyThere
from reliquary.failpoints import reach

TOMBSTONE = "removed:"
"""Prefix of the fact that keeps the SHA-256 of a removed file under its file name."""

# Made once: making a statement costs more than running it.
BY_KEY = (
    select(File.id, File.key, File.filename, File.listed, File.blob, Version.package_id, Package.name)
    .join(Version, Version.id == File.version_id)
    .join(Package, Package.id == Version.package_id)
    .where(File.repository_id == bindparam("of"), File.key.in_(bindparam("keys", expanding=True)))
)
LISTED_BLOBS = (
    select(Version.package_id, File.filename, File.blob)
    .join(Version, Version.id == File.version_id)
    .where(
        Version.package_id.in_(bindparam("packages", expanding=True)),
        File.listed,
        File.filename.in_(bindparam("filenames", expanding=True)),
    )
)
TOMBSTONES = select(Property.owner_id, Property.name, Property.value).where(
    Property.kind == PACKAGE,
    Property.owner_id.in_(bindparam("packages", expanding=True)),
    Property.name.in_(bindparam("names", expanding=True)),
)


def taken(file: NewFile) -> AlreadyThere:
    """The refusal of other bytes under a name."""
    entry = file.entry
    return AlreadyThere(f"{entry.filename} of {entry.name} is already there with other content")


def _by_key(connection: Connection, repository_id: int, keys: Collection[str]) -> dict[str, AnyRow]:
    found: dict[str, AnyRow] = {}
    for batch in batches(keys):
        rows = connection.execute(BY_KEY, {"of": repository_id, "keys": batch})
        found.update((row.key, row) for row in rows)
    return found


def _listed_blobs(
    connection: Connection, packages: Collection[int], filenames: Collection[str]
) -> dict[tuple[int, str], str | None]:
    found: dict[tuple[int, str], str | None] = {}
    for batch in batches(filenames):
        rows = connection.execute(LISTED_BLOBS, {"packages": list(packages), "filenames": batch})
        found.update(((row.package_id, row.filename), row.blob) for row in rows)
    return found


def _refuse_reuse(connection: Connection, packages: Mapping[str, int], additions: Sequence[NewFile]) -> None:
    listed = {
        (packages[each.entry.name], TOMBSTONE + each.entry.filename): each for each in additions if each.entry.listed
    }
    for batch in batches({name for _, name in listed}):
        for row in connection.execute(TOMBSTONES, {"packages": list(packages.values()), "names": batch}):
            file = listed.get((row.owner_id, row.name))
            if file is not None and row.value != file.blob:
                raise AlreadyThere(f"{file.entry.filename} was removed and cannot come back with other content")


def add(
    connection: Connection,
    repository_id: int,
    additions: Sequence[NewFile],
    now: datetime,
    *,
    exclusive: bool,
    replace: bool,
    reuse: bool,
    facts: Facts | None = None,
) -> list[NewFile]:
    """Insert what is not there yet; returns what was new. See `Files.add`."""
    packages = package_ids(connection, repository_id, {file.entry.name for file in additions})
    if not reuse:
        _refuse_reuse(connection, packages, additions)
    stored = _by_key(connection, repository_id, {file.entry.key for file in additions})
    filenames = {file.entry.filename for file in additions if file.entry.listed} if exclusive else set()
    named = _listed_blobs(connection, packages.values(), filenames)
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
    put(connection, repository_id, packages, fresh, now)
    if fresh and facts is not None:
        put_facts(connection, packages[facts.name], facts)
    reach("add.rows-written")
    if stored:
        prune_now(connection, {row.package_id for row in stored.values()} | set(packages.values()))
    return fresh


async def update(
    connection: AsyncConnection,
    repository_id: int,
    files: Sequence[NewFile],
    now: datetime,
    facts: Facts | None = None,
) -> list[NewFile]:
    """Give rows that are there a new entry and fragment; returns those."""
    stored = await connection.run_sync(_by_key, repository_id, {file.entry.key for file in files})
    known = [file for file in files if file.entry.key in stored]
    await put_files(connection, repository_id, known, now)
    if known and facts is not None:
        await _put_facts(connection, repository_id, facts)
    await prune(connection, {row.package_id for row in stored.values()})
    return known


async def remove(
    connection: AsyncConnection,
    repository_id: int,
    keys: Collection[str],
    *,
    tombstones: bool,
    facts: Facts | None = None,
) -> tuple[int, set[str]]:
    """Delete files, and what is empty then; returns how many and the names of their packages."""
    stored = await connection.run_sync(_by_key, repository_id, set(keys))
    if tombstones:
        for row in stored.values():
            if row.listed and row.blob is not None:
                await write_properties(connection, row.package_id, {TOMBSTONE + row.filename: row.blob})
    await delete_files(connection, [row.id for row in stored.values()])
    if stored and facts is not None and not (facts.clears and await _clear(connection, stored.values())):
        await _put_facts(connection, repository_id, facts)
    reach("remove.rows-deleted")
    await prune(connection, {row.package_id for row in stored.values()})
    return len(stored), {row.name for row in stored.values()}


async def _put_facts(connection: AsyncConnection, repository_id: int, facts: Facts) -> None:
    ids = await connection.run_sync(package_ids, repository_id, [facts.name])
    await connection.run_sync(put_facts, ids[facts.name], facts)


async def _clear(connection: AsyncConnection, removed: Collection[AnyRow]) -> bool:
    """Take all facts off packages that have no listed file left, but for those on removed files; whether there was
    none left. A publish that came between asking and removing keeps what it said."""
    ids = {row.package_id for row in removed}
    listed = (
        select(File.id).join(Version, Version.id == File.version_id).where(Version.package_id.in_(ids), File.listed)
    )
    if (await connection.execute(listed.limit(1))).first() is not None:
        return False
    facts = (Property.kind == PACKAGE, Property.owner_id.in_(ids), ~Property.name.startswith(TOMBSTONE))
    await connection.execute(delete(Property).where(*facts))
    return True
