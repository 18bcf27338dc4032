"""Events: what happened to packages, for people and for listings of changes."""

from __future__ import annotations

from sqlalchemy import select

from reliquary.catalog.database import Topic, unbroken
from reliquary.catalog.recording import record
from reliquary.catalog.records import EventRow, NewEvent, Touched
from reliquary.catalog.tables import Event


class Events(Topic):
    """The events of all repositories."""

    @unbroken
    async def add(self, repository_id: int, event: NewEvent, *, touched: Touched | None = None) -> int:
        """Record something that changed no file; returns its serial."""
        async with self._database.writing() as connection:
            return await record(connection, repository_id, touched or Touched(), event=event)

    async def since(self, repository_id: int, serial: int, limit: int = 1000) -> list[EventRow]:
        """Events after ``serial``, oldest first, at most ``limit``."""
        query = (
            select(Event.serial, Event.name, Event.version, Event.filename, Event.action, Event.actor, Event.at)
            .where(Event.repository_id == repository_id, Event.serial > serial)
            .order_by(Event.serial, Event.id)
            .limit(limit)
        )
        async with self._database.reading(large=True) as connection:
            return [EventRow(*row) for row in await connection.execute(query)]
