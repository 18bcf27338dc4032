"""Repositories: their configuration."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from reliquary.catalog.database import AnyRow, Topic, table, unbroken
from reliquary.catalog.recording import outdate_groups, record_configuration
from reliquary.catalog.storing import FILE, PACKAGE, VERSION
from reliquary.catalog.tables import ChangeRow, File, Member, Package, Property, Repository, Version
from reliquary.errors import Conflict, NotHere
from reliquary.types import Kind, Remote, RepositorySpec, Rule, Verdict


def _columns(spec: RepositorySpec) -> dict[str, Any]:
    return {
        "format": spec.format,
        "name": spec.name,
        "kind": spec.kind.value,
        "remotes": [asdict(remote) for remote in spec.remotes],
        "rules": [asdict(rule) for rule in spec.rules],
        "options": spec.options,
        "anonymous_read": spec.anonymous_read,
        "declared": spec.declared,
    }


def _spec(row: AnyRow, members: tuple[str, ...]) -> RepositorySpec:
    return RepositorySpec(
        id=row.id,
        format=row.format,
        name=row.name,
        kind=Kind(row.kind),
        remotes=tuple(Remote(**remote) for remote in row.remotes),
        members=members,
        rules=tuple(Rule(Verdict(rule["verdict"]), rule["pattern"]) for rule in row.rules),
        options=row.options,
        anonymous_read=row.anonymous_read,
        declared=row.declared,
        serial=row.serial,
    )


async def _write_members(connection: AsyncConnection, spec: RepositorySpec) -> None:
    await connection.execute(delete(Member).where(Member.group_id == spec.id))
    query = select(Repository.name, Repository.id).where(
        Repository.format == spec.format, Repository.name.in_(spec.members)
    )
    ids = {row.name: row.id for row in await connection.execute(query)}
    unknown = [name for name in spec.members if name not in ids]
    if unknown:
        raise Conflict(f"{spec.title} names members that do not exist: {', '.join(unknown)}")
    rows = [
        {"group_id": spec.id, "position": position, "member_id": ids[name]}
        for position, name in enumerate(spec.members)
    ]
    if rows:
        await connection.execute(insert(table(Member)), rows)


async def _stamp(connection: AsyncConnection, spec: RepositorySpec) -> RepositorySpec:
    serial = await record_configuration(connection, spec.id)
    await connection.execute(update(Repository).where(Repository.id == spec.id).values(serial=serial))
    await outdate_groups(connection, spec.id)
    return replace(spec, serial=serial)


async def _delete_facts(connection: AsyncConnection, repository_id: int) -> None:
    packages = select(Package.id).where(Package.repository_id == repository_id)
    owners = {
        PACKAGE: packages,
        VERSION: select(Version.id).where(Version.package_id.in_(packages)),
        FILE: select(File.id).where(File.repository_id == repository_id),
    }
    for kind, ids in owners.items():
        await connection.execute(delete(Property).where(Property.kind == kind, Property.owner_id.in_(ids)))


class Repositories(Topic):
    """The configured repositories."""

    async def all(self) -> list[RepositorySpec]:
        """Every repository, in the order of creation."""
        members = (
            select(Member.group_id, Repository.name)
            .join(Repository, Repository.id == Member.member_id)
            .order_by(Member.group_id, Member.position)
        )
        names: dict[int, list[str]] = {}
        async with self._database.reading() as connection:
            rows = (await connection.execute(select(table(Repository)).order_by(Repository.id))).all()
            for member in await connection.execute(members):
                names.setdefault(member.group_id, []).append(member.name)
        return [_spec(row, tuple(names.get(row.id, ()))) for row in rows]

    @unbroken
    async def create(self, spec: RepositorySpec) -> RepositorySpec:
        """Add a repository; its id in ``spec`` is ignored.

        Returns:
            The repository with its id and serial.

        Raises:
            Conflict: the name is taken in this format, or a member does not exist.
        """
        try:
            async with self._database.writing() as connection:
                statement = insert(table(Repository)).values(**_columns(spec), serial=0).returning(Repository.id)
                created = replace(spec, id=(await connection.execute(statement)).scalar_one())
                await _write_members(connection, created)
                return await _stamp(connection, created)
        except IntegrityError as error:
            raise Conflict(f"{spec.title} exists already") from error

    @unbroken
    async def save(self, spec: RepositorySpec) -> RepositorySpec:
        """Write the configuration of the repository with this id.

        Returns:
            The repository with its new serial.

        Raises:
            NotHere: there is none.
            Conflict: the new name is taken, or a member does not exist.
        """
        try:
            async with self._database.writing() as connection:
                statement = update(Repository).where(Repository.id == spec.id).values(**_columns(spec))
                if (await connection.execute(statement)).rowcount == 0:
                    raise NotHere(f"{spec.title} does not exist")
                await _write_members(connection, spec)
                return await _stamp(connection, spec)
        except IntegrityError as error:
            raise Conflict(f"{spec.title} exists already") from error

    @unbroken
    async def delete(self, repository_id: int) -> None:
        """Remove a repository with all it holds; groups lose it as a member. Raises NotHere."""
        async with self._database.writing() as connection:
            await _delete_facts(connection, repository_id)
            await connection.execute(delete(ChangeRow).where(ChangeRow.repository_id == repository_id))
            result = await connection.execute(delete(Repository).where(Repository.id == repository_id))
            if result.rowcount == 0:
                raise NotHere("that repository does not exist")
            await record_configuration(connection, repository_id)
            await outdate_groups(connection)
