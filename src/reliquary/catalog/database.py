"""Connections: a small pool of readers, and writers one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar, cast

from sqlalchemy import Connection, Row, Select, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from reliquary.catalog.embedded import Embedded
from reliquary.catalog.location import engine_url, sqlite_path
from reliquary.catalog.tables import Base
from reliquary.errors import CannotTell, Full

T = TypeVar("T")
P = ParamSpec("P")

Query: TypeAlias = Select[*tuple[Any, ...]]
AnyRow: TypeAlias = Row[*tuple[Any, ...]]

BATCH = 500
"""Values in one IN list; far below what any database takes."""


def batches(values: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Cut into lists of at most ``size``."""
    everything = list(values)
    for start in range(0, len(everything), size):
        yield everything[start : start + size]


def table(entity: type[Base]) -> Table:
    """The table behind a mapped class."""
    return cast("Table", entity.__table__)


def upsert(connection: AsyncConnection, entity: type[Base]) -> sqlite.Insert:
    """An INSERT that takes ON CONFLICT, in the connection's dialect; both spell it alike."""
    if connection.dialect.name == "postgresql":
        return cast("sqlite.Insert", postgresql.insert(table(entity)))
    return sqlite.insert(table(entity))


def _explain(error: OperationalError) -> CannotTell | None:
    text = str(error.orig)
    if "is full" in text or "No space left" in text:
        return Full("there is no room on the disk for the database to grow")
    if "is locked" in text or "is busy" in text:
        return CannotTell("the database is busy; try again", retry_after=5)
    if "readonly database" in text:
        return CannotTell("the database cannot be written: its disk is read-only; nothing was stored")
    if "unable to open database" in text:
        return CannotTell("the database could not be opened, perhaps for want of file descriptors; try again")
    return None


@contextmanager
def _explaining() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        explained = _explain(error)
        if explained is None:
            raise
        raise explained from error


class Database:
    """The engines behind the catalog.

    Args:
        url: where the database is; see `reliquary.catalog.location`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._under_way: set[asyncio.Task[Any]] = set()
        self._embedded = Embedded(engine_url(url)) if sqlite_path(url) is not None else None
        self._engine: AsyncEngine | None = None
        if self._embedded is None:
            self._engine = create_async_engine(engine_url(url), hide_parameters=True, pool_pre_ping=True)

    @asynccontextmanager
    async def reading(self, *, large: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection on which every statement sees what is committed when it starts.

        Args:
            large: thousands of rows may come; they are fetched beside the event loop.

        Raises:
            CannotTell: the database is busy or cannot be opened.
        """
        with _explaining():
            if self._embedded is not None:
                async with self._embedded.reading(large=large) as statements:
                    yield cast("AsyncConnection", statements)  # has what the catalog uses of one
            elif self._engine is not None:
                engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
                async with engine.connect() as connection:
                    yield connection

    @asynccontextmanager
    async def writing(self, *, durable: bool = True) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back when it raises.

        Args:
            durable: a power failure must not undo it. False for what can be fetched or rendered
                again: the commit does not wait for the disk, and survives a kill all the same.

        Raises:
            Full: the disk is full.
            CannotTell: another process holds the database for too long, or it cannot be written.
        """
        with _explaining():
            if self._embedded is not None:
                async with self._embedded.writing(durable=durable) as statements:
                    yield cast("AsyncConnection", statements)  # has what the catalog uses of one
            elif self._engine is not None:
                async with self._engine.begin() as connection:
                    if not durable:
                        await connection.exec_driver_sql("SET LOCAL synchronous_commit TO OFF")
                    yield connection

    async def transact(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        """Run ``work`` in one transaction: committed when it returns, rolled back when it raises.

        It runs in a thread, may share its commit with others, and is run again when one of these
        fails.

        Args:
            durable: as `writing`.

        Raises:
            Full, CannotTell: as `writing`.
        """
        if self._embedded is not None:
            with _explaining():
                together = self._embedded.together if durable else self._embedded.relaxed
                return await together.run(work)
        async with self.writing(durable=durable) as connection:
            return await connection.run_sync(work)

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry ``work`` to its end even when whoever waits for it is cancelled.

        A statement that is abandoned half-way keeps its transaction, and with it the lock on the whole
        SQLite database, until the garbage collector finds it.
        """
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Let writes end, then close every connection."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._embedded is not None:
            self._embedded.close()
        if self._engine is not None:
            await self._engine.dispose()


class Topic:
    """A part of the catalog's interface.

    Args:
        database: the engines.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def database(self) -> Database:
        """The engines."""
        return self._database


S = TypeVar("S", bound=Topic)


def unbroken(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Make a method that writes go on to its end when its caller is cancelled."""

    @wraps(method)
    async def whole(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.database.finish(method(self, *args, **kwargs))

    return whole
