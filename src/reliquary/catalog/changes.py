"""Changes: how other processes, and other parts of this one, learn what to forget."""

from __future__ import annotations

import sqlite3
from time import monotonic

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import aliased

from reliquary.catalog import recording
from reliquary.catalog.database import Topic, unbroken
from reliquary.catalog.location import sqlite_path
from reliquary.catalog.tables import ChangeRow
from reliquary.types import Change

BOUND = 1.0
"""Seconds after which a database that cannot be watched counts as changed."""


class Changes(Topic):
    """The Change rows."""

    async def since(self, seq: int, limit: int = 1000) -> list[Change]:
        """Changes after ``seq``, oldest first; the last one of every scope is among them."""
        query = select(ChangeRow.seq, ChangeRow.repository_id, ChangeRow.scope)
        query = query.where(ChangeRow.seq > seq).order_by(ChangeRow.seq).limit(limit)
        async with self._database.reading() as connection:
            return [Change(*row) for row in await connection.execute(query)]

    async def latest(self) -> int:
        """The highest change, 0 when nothing ever changed."""
        async with self._database.reading() as connection:
            return await recording.latest(connection)

    @unbroken
    async def trim(self, keep: int) -> int:
        """Delete old changes.

        The newest ``keep`` numbers stay, and the last change of every scope: serials never fall, and
        a process that slept for long still learns of each scope that changed.

        Returns:
            How many were deleted.
        """
        newer = aliased(ChangeRow)
        superseded = exists().where(
            newer.seq > ChangeRow.seq,
            newer.repository_id.is_not_distinct_from(ChangeRow.repository_id),
            newer.scope.is_not_distinct_from(ChangeRow.scope),
        )
        async with self._database.writing() as connection:
            last = await recording.latest(connection)
            result = await connection.execute(
                delete(ChangeRow).where(ChangeRow.seq <= last - keep, superseded.correlate(ChangeRow))
            )
        return result.rowcount

    def watch(self) -> Watch:
        """A watch on this database."""
        return Watch(self._database.url)


class Watch:
    """Tells cheaply whether anything was committed since it was last asked.

    SQLite counts commits of other connections, also of those of this process. Other databases
    count as changed when a bounded time has passed.

    Args:
        url: where the database is.
    """

    def __init__(self, url: str) -> None:
        path = sqlite_path(url)
        self._connection = None if path is None else sqlite3.connect(path, isolation_level=None)
        self._last = self._version()

    def _version(self) -> float:
        if self._connection is None:
            return monotonic()
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def changed(self) -> bool:
        """Whether there was a commit since the last call (or since the watch began)."""
        now = self._version()
        same = now == self._last if self._connection is not None else now - self._last < BOUND
        if not same:
            self._last = now
        return not same

    def since(self, seq: int, limit: int = 1000) -> list[Change] | None:
        """Changes after ``seq``, oldest first, read at once: a few indexed rows cost less than a
        thread. None where only `Changes.since` can tell."""
        if self._connection is None:
            return None
        query = "SELECT seq, repository_id, scope FROM changes WHERE seq > ? ORDER BY seq LIMIT ?"
        try:
            return [Change(*row) for row in self._connection.execute(query, (seq, limit))]
        except sqlite3.OperationalError:
            return None

    def close(self) -> None:
        """Stop watching."""
        if self._connection is not None:
            self._connection.close()
