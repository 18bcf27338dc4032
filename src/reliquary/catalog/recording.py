"""What every write transaction leaves behind: changes, serials, dirty pages, events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from reliquary.catalog.database import batches, table
from reliquary.catalog.records import NewEvent, Touched
from reliquary.catalog.tables import ChangeRow, Event, Package, Page, Repository
from reliquary.types import Kind

COMMIT_ORDER = 0x52656C69
"""Key of the PostgreSQL lock under which changes are numbered."""


async def number(connection: AsyncConnection, repository_id: int | None, scopes: Sequence[str | None]) -> int:
    """Write a change for each scope; returns the highest number."""
    # PostgreSQL hands out numbers before the commit; without the lock a reader could see 8 before 7 and never 7.
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(COMMIT_ORDER)))
    last = 0
    for batch in batches(scopes):
        rows = [{"repository_id": repository_id, "scope": scope} for scope in batch]
        numbers = await connection.execute(insert(table(ChangeRow)).values(rows).returning(ChangeRow.seq))
        last = max(last, *numbers.scalars())
    return last


async def _mark_dirty(connection: AsyncConnection, repositories: Sequence[int], scopes: Sequence[str]) -> None:
    for batch in batches(scopes):
        await connection.execute(
            update(Page)
            .where(Page.repository_id.in_(repositories), Page.scope.in_(batch), Page.dirty.is_(False))
            .values(dirty=True)
        )


async def record(
    connection: AsyncConnection,
    repository_id: int,
    touched: Touched,
    names: Collection[str] = (),
    event: NewEvent | None = None,
) -> int:
    """Write the changes of one transaction.

    Args:
        connection: inside the transaction.
        repository_id: where it happened.
        touched: scopes that changed, and the groups that show them.
        names: packages whose serial moves.
        event: what to list, with the same serial.

    Returns:
        The serial: the highest change number written, 0 when there was nothing to write.
    """
    # An event needs a number of its own even when no scope is touched.
    scopes = touched.scopes or ((event.name,) if event else ())
    if not scopes:
        return 0
    serial = await number(connection, repository_id, scopes)
    for batch in batches(names):
        await connection.execute(
            update(Package).where(Package.repository_id == repository_id, Package.name.in_(batch)).values(serial=serial)
        )
    await _mark_dirty(connection, (repository_id, *touched.groups), touched.scopes)
    if event is not None:
        await _add_event(connection, repository_id, serial, event)
    return serial


async def _add_event(connection: AsyncConnection, repository_id: int, serial: int, event: NewEvent) -> None:
    await connection.execute(
        insert(table(Event)).values(
            repository_id=repository_id,
            serial=serial,
            name=event.name,
            version=event.version,
            filename=event.filename,
            action=event.action,
            actor=event.actor,
            at=datetime.now(UTC),
        )
    )


async def record_configuration(connection: AsyncConnection, repository_id: int | None = None) -> int:
    """Say that the configuration (of one repository, or the accounts) changed; returns the serial."""
    return await number(connection, repository_id, [None])


async def outdate_groups(connection: AsyncConnection, repository_id: int | None = None) -> None:
    """Mark the pages of every group, and of one repository, dirty: members, rules or rights changed,
    so that they may list what they must not, or lack what they should."""
    groups = select(Repository.id).where(Repository.kind == Kind.GROUP.value)
    pages = or_(Page.repository_id.in_(groups), Page.repository_id == repository_id)
    await connection.execute(update(Page).where(pages, Page.dirty.is_(False)).values(dirty=True))


async def latest(connection: AsyncConnection) -> int:
    """The highest change number, 0 when nothing ever changed."""
    return await connection.scalar(select(func.max(ChangeRow.seq))) or 0
