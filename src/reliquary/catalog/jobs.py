"""Jobs: a queue in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import insert, select, update

from reliquary.catalog.database import Topic, table, unbroken
from reliquary.catalog.records import JobRow
from reliquary.catalog.tables import Job

# The method `list` hides the built-in one inside the class.
JobRows: TypeAlias = list[JobRow]

QUEUED = "queued"
RUNNING = "running"
DONE = "done"
FAILED = "failed"


class Jobs(Topic):
    """The job queue: first in, first out."""

    @unbroken
    async def add(self, kind: str, args: Mapping[str, Any], by: str | None) -> int:
        """Queue a job for a requester (None: Reliquary itself); returns its id."""
        values = {"kind": kind, "args": args, "by": by, "state": QUEUED, "created": datetime.now(UTC)}
        async with self._database.writing() as connection:
            result = await connection.execute(insert(table(Job)).values(**values).returning(Job.id))
            return result.scalar_one()

    @unbroken
    async def claim(self) -> JobRow | None:
        """Take the oldest queued job; no one else gets it. None when there is none."""
        oldest = select(Job.id).where(Job.state == QUEUED).order_by(Job.id).limit(1).with_for_update(skip_locked=True)
        async with self._database.writing() as connection:
            number = await connection.scalar(oldest)
            if number is None:
                return None
            started = update(Job).where(Job.id == number).values(state=RUNNING, started=datetime.now(UTC))
            await connection.execute(started)
            row = (await connection.execute(select(table(Job)).where(Job.id == number))).one()
            return JobRow(**row._mapping)

    @unbroken
    async def finish(self, job_id: int, outcome: Any, error: str | None = None) -> None:
        """Record the end of a job: failed when there is an ``error``; ``outcome`` goes to JSON."""
        state = DONE if error is None else FAILED
        values = {"state": state, "outcome": outcome, "error": error, "finished": datetime.now(UTC)}
        async with self._database.writing() as connection:
            await connection.execute(update(Job).where(Job.id == job_id).values(**values))

    @unbroken
    async def requeue(self, before: datetime) -> int:
        """Queue again what was started before that time and never ended; returns how many."""
        interrupted = update(Job).where(Job.state == RUNNING, Job.started < before)
        async with self._database.writing() as connection:
            result = await connection.execute(interrupted.values(state=QUEUED, started=None))
        return result.rowcount

    async def get(self, job_id: int) -> JobRow | None:
        """The job, or None."""
        async with self._database.reading() as connection:
            row = (await connection.execute(select(table(Job)).where(Job.id == job_id))).first()
        return None if row is None else JobRow(**row._mapping)

    async def list(self, limit: int = 100) -> JobRows:
        """The newest jobs first."""
        async with self._database.reading() as connection:
            rows = await connection.execute(select(table(Job)).order_by(Job.id.desc()).limit(limit))
        return [JobRow(**row._mapping) for row in rows]
