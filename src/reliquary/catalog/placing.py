"""Rows of published files, and what they hang on, inside a transaction that is one function."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

from sqlalchemy import Connection, Delete, bindparam, case, delete, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite

from reliquary.catalog.database import batches, table
from reliquary.catalog.records import Facts, NewFile
from reliquary.catalog.rows import BYTES_COLUMNS, ENTRY_COLUMNS, file_values, size_of
from reliquary.catalog.tables import Base, Blob, File, Package, Property, Version

# Statements are made once: making one costs more than running it.


def insert(dialect: str, entity: type[Base]) -> sqlite.Insert:
    """An INSERT that takes ON CONFLICT; both dialects spell it alike."""
    made = postgresql.insert(table(entity)) if dialect == "postgresql" else sqlite.insert(table(entity))
    return cast("sqlite.Insert", made)


@cache
def _upsert_package(dialect: str) -> Any:
    statement = insert(dialect, Package)
    # A row that is there is written as it is: that locks it, and RETURNING shows it.
    kept = statement.on_conflict_do_update(index_elements=["repository_id", "name"], set_={"serial": Package.serial})
    return kept.returning(Package.name, Package.id)


@cache
def _upsert_version(dialect: str) -> Any:
    statement = insert(dialect, Version)
    kept = statement.on_conflict_do_update(
        index_elements=["package_id", "version"], set_={"version": statement.excluded.version}
    )
    return kept.returning(Version.package_id, Version.version, Version.id)


@cache
def insert_blob(dialect: str) -> Any:
    return insert(dialect, Blob).on_conflict_do_nothing()


@cache
def _upsert_file(dialect: str) -> Any:
    """A row with the same key takes everything from the new one."""
    statement = insert(dialect, File)
    taken: dict[str, Any] = {name: statement.excluded[name] for name in (*ENTRY_COLUMNS, *BYTES_COLUMNS)}
    taken["size"] = func.coalesce(statement.excluded.size, File.size)
    # Clients compare the time alone: other bytes never get an earlier one, whatever the clock says.
    earlier = statement.excluded.modified < File.modified
    taken["modified"] = case((earlier, File.modified), else_=statement.excluded.modified)
    return statement.on_conflict_do_update(index_elements=["repository_id", "key"], set_=taken)


def package_ids(connection: Connection, repository_id: int, names: Collection[str]) -> dict[str, int]:
    """Ids of packages by name, missing ones created; other writers are kept off them."""
    # Sorted, so that two writers on PostgreSQL never wait for each other.
    rows = [{"repository_id": repository_id, "name": name, "serial": 0} for name in sorted(names)]
    return {row.name: row.id for row in connection.execute(_upsert_package(connection.dialect.name), rows)}


def _version_ids(connection: Connection, wanted: Collection[tuple[int, str]]) -> dict[tuple[int, str], int]:
    rows = [{"package_id": package_id, "version": version} for package_id, version in sorted(wanted)]
    found = connection.execute(_upsert_version(connection.dialect.name), rows)
    return {(row.package_id, row.version): row.id for row in found}


def _blob_rows(files: Iterable[NewFile], now: datetime) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for file in files:
        if file.blob is None:
            continue
        size = size_of(file)
        if size is None:
            raise ValueError(f"{file.entry.key} has bytes but no size")
        rows[file.blob] = {"digest": file.blob, "size": size, "digests": file.digests, "created": now}
    return [rows[digest] for digest in sorted(rows)]


def put(
    connection: Connection, repository_id: int, packages: Mapping[str, int], files: Sequence[NewFile], now: datetime
) -> None:
    """Write File rows and all they hang on; a row with the same key takes everything from the new one.

    Args:
        packages: ids by name, of `package_ids`.

    Raises:
        ValueError: a file has bytes but no size.
    """
    if not files:
        return
    dialect = connection.dialect.name
    if blobs := _blob_rows(files, now):
        connection.execute(insert_blob(dialect), blobs)
    versions = _version_ids(connection, {(packages[file.entry.name], file.entry.version) for file in files})
    rows = [
        file_values(file, repository_id, versions[packages[file.entry.name], file.entry.version], now) for file in files
    ]
    connection.execute(_upsert_file(dialect), rows)


@cache
def _put_facts(dialect: str, overwrite: bool) -> Any:
    statement = insert(dialect, Property)
    if not overwrite:
        return statement.on_conflict_do_nothing()
    taken = {"value": statement.excluded["value"]}
    return statement.on_conflict_do_update(index_elements=["kind", "owner_id", "name"], set_=taken)


@cache
def _delete_facts() -> Delete:
    return delete(Property).where(
        Property.kind == "package",
        Property.owner_id == bindparam("owner"),
        Property.name.in_(bindparam("names", expanding=True)),
    )


def put_facts(connection: Connection, package_id: int, facts: Facts) -> None:
    """Write what is said of a package."""
    dialect = connection.dialect.name
    kept = {name: value for name, value in facts.values.items() if value is not None}
    for values, overwrite in ((kept, True), (facts.defaults, False)):
        rows = [
            {"kind": "package", "owner_id": package_id, "name": name, "value": value} for name, value in values.items()
        ]
        if rows:
            connection.execute(_put_facts(dialect, overwrite), rows)
    for batch in batches(name for name, value in facts.values.items() if value is None):
        connection.execute(_delete_facts(), {"owner": package_id, "names": batch})


@cache
def _empty_versions() -> tuple[Delete, Delete]:
    """Versions without files, and the facts on them."""
    ids = select(Version.id).where(
        Version.package_id.in_(bindparam("packages", expanding=True)),
        ~exists().where(File.version_id == Version.id).correlate(Version),
    )
    facts = delete(Property).where(Property.kind == "version", Property.owner_id.in_(ids))
    return facts, delete(Version).where(Version.id.in_(ids))


@cache
def _empty_packages() -> Delete:
    """Packages without versions and facts."""
    return delete(Package).where(
        Package.id.in_(bindparam("packages", expanding=True)),
        ~exists().where(Version.package_id == Package.id).correlate(Package),
        ~exists().where(Property.kind == "package", Property.owner_id == Package.id).correlate(Package),
    )


def prune(connection: Connection, packages: Collection[int]) -> None:
    """Delete versions without files, and packages without versions and facts."""
    for batch in batches(packages):
        for statement in (*_empty_versions(), _empty_packages()):
            connection.execute(statement, {"packages": batch})
