"""What every write transaction leaves behind: changes, serials, dirty pages, events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from reliquary.catalog.database import batches, table
from reliquary.catalog.records import NewEvent, Touched
from reliquary.catalog.tables import ChangeRow, Event, Package, Page, Repository
from reliquary.types import Kind

COMMIT_ORDER = 0x52656C69
"""Key of the PostgreSQL lock under which changes are numbered."""

# Made once: making a statement costs more than running it.
NEXT = insert(table(ChangeRow)).returning(ChangeRow.seq)
LATEST = select(func.max(ChangeRow.seq))
HAPPENED = insert(table(Event))
MOVE_SERIALS = (
    update(Package)
    .where(Package.repository_id == bindparam("of"), Package.name.in_(bindparam("names", expanding=True)))
    .values(serial=bindparam("to"))
)
MARK_DIRTY = (
    update(Page)
    .where(
        Page.repository_id.in_(bindparam("repositories", expanding=True)),
        Page.scope.in_(bindparam("scopes", expanding=True)),
        Page.dirty.is_(False),
    )
    .values(dirty=True)
)


async def number(connection: AsyncConnection, repository_id: int | None, scopes: Sequence[str | None]) -> int:
    """Write a change for each scope; returns the highest number."""
    return await connection.run_sync(_number, repository_id, scopes)


def _number(connection: Connection, repository_id: int | None, scopes: Sequence[str | None]) -> int:
    # PostgreSQL hands out numbers before the commit; without the lock a reader could see 8 before 7 and never 7.
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(COMMIT_ORDER)))
    last = 0
    for batch in batches(scopes):
        rows = [{"repository_id": repository_id, "scope": scope} for scope in batch]
        numbers = connection.execute(NEXT, rows)
        last = max(last, *numbers.scalars())
    return last


def _mark_dirty(connection: Connection, repositories: Sequence[int], scopes: Sequence[str]) -> None:
    for batch in batches(scopes):
        connection.execute(MARK_DIRTY, {"repositories": repositories, "scopes": batch})


async def record(
    connection: AsyncConnection,
    repository_id: int,
    touched: Touched,
    names: Collection[str] = (),
    event: NewEvent | None = None,
) -> int:
    """Write the changes of one transaction; see `record_now`."""
    return await connection.run_sync(record_now, repository_id, touched, names, event)


def record_now(
    connection: Connection,
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
    serial = _number(connection, repository_id, scopes)
    for batch in batches(names):
        connection.execute(MOVE_SERIALS, {"of": repository_id, "names": batch, "to": serial})
    _mark_dirty(connection, (repository_id, *touched.groups), touched.scopes)
    if event is not None:
        _add_event(connection, repository_id, serial, event)
    return serial


def _add_event(connection: Connection, repository_id: int, serial: int, event: NewEvent) -> None:
    values = {
        "repository_id": repository_id,
        "serial": serial,
        "name": event.name,
        "version": event.version,
        "filename": event.filename,
        "action": event.action,
        "actor": event.actor,
        "at": datetime.now(UTC),
    }
    connection.execute(HAPPENED, values)


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
    return (await connection.execute(LATEST, {})).scalar() or 0
