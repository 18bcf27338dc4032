"""Packages: names, serials and facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, bindparam, func, or_, select

from reliquary.catalog.database import Query, Topic, unbroken
from reliquary.catalog.publishing import TOMBSTONE
from reliquary.catalog.recording import record
from reliquary.catalog.records import NewEvent, Touched
from reliquary.catalog.storing import PACKAGE, package_ids, prune, write_properties
from reliquary.catalog.tables import ChangeRow, File, Package, Property, Version


def holds_file() -> ColumnElement[bool]:
    """Of a Package: it has a file."""
    held = select(Version.id).join(File, File.version_id == Version.id).where(Version.package_id == Package.id)
    return held.exists()


def is_owned() -> ColumnElement[bool]:
    """Of a Package: it has a file, or had one; a name whose files were all removed is still its owner's."""
    removed = select(Property.owner_id).where(
        Property.kind == PACKAGE, Property.owner_id == Package.id, Property.name.startswith(TOMBSTONE)
    )
    return or_(holds_file(), removed.exists())


@cache
def _serial() -> Query:
    """The change that last touched a scope, as changes and as packages remember it."""
    wanted: BindParameter[Any] = bindparam("repositories", expanding=True)
    scope: BindParameter[Any] = bindparam("scope")
    changes = select(func.max(ChangeRow.seq)).where(ChangeRow.repository_id.in_(wanted), ChangeRow.scope == scope)
    packages = (
        select(func.max(Package.serial))
        .select_from(File)
        .join(Version, Version.id == File.version_id)
        .join(Package, Package.id == Version.package_id)
        .where(File.repository_id.in_(wanted), File.scope == scope)
    )
    return select(changes.scalar_subquery(), packages.scalar_subquery())


@cache
def _properties() -> Query:
    of = (Package.repository_id == bindparam("repository"), Package.name == bindparam("name"))
    query = select(Property.name, Property.value).join(Package, Package.id == Property.owner_id)
    return query.where(Property.kind == PACKAGE, *of)


class Packages(Topic):
    """The packages of all repositories."""

    async def names(self, repository_id: int, prefix: str = "") -> list[tuple[str, int]]:
        """(scope, serial) of the scopes under the prefix that list a file, sorted by scope."""
        query = (
            select(File.scope, func.max(Package.serial).label("serial"))
            .join(Version, Version.id == File.version_id)
            .join(Package, Package.id == Version.package_id)
            .where(File.repository_id == repository_id, File.listed)
            .group_by(File.scope)
        )
        if prefix:
            # LIKE ignores case on SQLite, and its wildcards occur in names.
            query = query.where(func.substr(File.scope, 1, len(prefix)) == prefix)
        async with self._database.reading(large=True) as connection:
            return sorted((row.scope, row.serial) for row in await connection.execute(query))

    async def packages(self, repository_id: int) -> list[tuple[str, int]]:
        """(name, serial) of every package with a file, sorted by name."""
        query = select(Package.name, Package.serial).where(Package.repository_id == repository_id, holds_file())
        async with self._database.reading(large=True) as connection:
            return sorted((row.name, row.serial) for row in await connection.execute(query))

    async def claimed(self, repository_id: int) -> set[str]:
        """Names of packages with a file, or whose files were all removed: they are still their owner's."""
        query = select(Package.name).where(Package.repository_id == repository_id, is_owned())
        async with self._database.reading(large=True) as connection:
            return set((await connection.execute(query)).scalars())

    async def serial(self, repository_ids: Sequence[int], scope: str) -> int:
        """The change that last touched the scope in any of the repositories, 0 when none did."""
        of = {"repositories": repository_ids, "scope": scope}
        async with self._database.reading() as connection:
            return max(number or 0 for number in (await connection.execute(_serial(), of)).one())

    async def facts(self, repository_id: int, fact: str) -> list[tuple[str, str]]:
        """(name, value) of every package of which this fact is said, sorted by name."""
        query = (
            select(Package.name, Property.value)
            .join(Property, Property.owner_id == Package.id)
            .where(Property.kind == PACKAGE, Property.name == fact, Package.repository_id == repository_id)
        )
        async with self._database.reading(large=True) as connection:
            return sorted((row.name, row.value) for row in await connection.execute(query))

    async def properties(self, repository_id: int, name: str) -> dict[str, str]:
        """The facts on a package, tombstones (``removed:...``) among them."""
        of = {"repository": repository_id, "name": name}
        async with self._database.reading() as connection:
            return {row.name: row.value for row in await connection.execute(_properties(), of)}

    @unbroken
    async def set_properties(
        self,
        repository_id: int,
        name: str,
        values: Mapping[str, str | None],
        *,
        touched: Touched,
        event: NewEvent | None = None,
    ) -> None:
        """Write facts on a package (None removes one); a package that is not there is created."""
        async with self._database.writing() as connection:
            ids = await package_ids(connection, repository_id, [name])
            await write_properties(connection, ids[name], values)
            await prune(connection, ids.values())
            await record(connection, repository_id, touched, [name], event)
