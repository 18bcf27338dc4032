"""Signing keys, shared by every process of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select

from reliquary.catalog.database import Topic, table, unbroken, upsert
from reliquary.catalog.tables import Key

COLUMNS = ("name", "private", "public", "created", "expires")


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key: ``private`` and ``public`` are texts in whatever form its user reads; times are UTC.

    ``expires`` None: it is good until another one takes its place.
    """

    name: str
    private: str = field(repr=False)
    public: str
    created: datetime
    expires: datetime | None = None


class Keys(Topic):
    """The keys by name. A key never changes once it is there."""

    async def all(self) -> list[KeyRow]:
        """Every key, expired ones too, by name."""
        async with self._database.reading() as connection:
            rows = await connection.execute(select(table(Key)).order_by(Key.name))
        return [KeyRow(**row._mapping) for row in rows]

    @unbroken
    async def add(self, row: KeyRow) -> KeyRow:
        """Add a key; returns the one that is kept under this name: of two writers, the first's."""
        values = {name: getattr(row, name) for name in COLUMNS}
        async with self._database.writing() as connection:
            statement = upsert(connection, Key).values(**values)
            await connection.execute(statement.on_conflict_do_nothing(index_elements=["name"]))
            kept = (await connection.execute(select(table(Key)).where(Key.name == row.name))).one()
        return KeyRow(**kept._mapping)
