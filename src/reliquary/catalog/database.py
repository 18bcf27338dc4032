"""Connections: a small pool of readers, and writers one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, cast

from sqlalchemy import Connection, Row, Select, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from reliquary.catalog.location import async_url, sqlite_path
from reliquary.catalog.tables import Base
from reliquary.errors import CannotTell, Full

T = TypeVar("T")
P = ParamSpec("P")

Query: TypeAlias = Select[*tuple[Any, ...]]
AnyRow: TypeAlias = Row[*tuple[Any, ...]]

READERS = 4
BUSY_SECONDS = 10
BATCH = 500
"""Values in one IN list; far below what any database takes."""


class Cursor(Protocol):
    """As much of a driver's cursor as setting pragmas takes."""

    def execute(self, statement: str) -> Any:
        """Run a statement."""

    def close(self) -> None:
        """Give it back."""


class DriverConnection(Protocol):
    """As much of a driver's connection as setting pragmas takes."""

    def cursor(self) -> Cursor:
        """A new cursor."""


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


def _pragmas(engine: AsyncEngine, *pragmas: str) -> None:
    def connected(connection: DriverConnection, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_SECONDS * 1000}", "foreign_keys=ON", *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", connected)


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _sqlite_engines(url: str) -> tuple[AsyncEngine, AsyncEngine]:
    address = async_url(url)
    reader = create_async_engine(
        address,
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_size=READERS,
        max_overflow=0,
    )
    _pragmas(reader, "query_only=ON")
    # isolation_level None keeps the driver from opening transactions of its own.
    writer = create_async_engine(
        address, hide_parameters=True, connect_args={"isolation_level": None}, pool_size=1, max_overflow=0
    )
    _pragmas(writer, "journal_mode=WAL", "synchronous=FULL")
    event.listen(writer.sync_engine, "begin", _begin_immediate)
    return reader, writer


def _postgresql_engines(url: str) -> tuple[AsyncEngine, AsyncEngine]:
    engine = create_async_engine(async_url(url), hide_parameters=True, pool_pre_ping=True)
    return engine.execution_options(isolation_level="AUTOCOMMIT"), engine


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


class Database:
    """The engines behind the catalog.

    Args:
        url: where the database is; see `reliquary.catalog.location`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        sqlite_file = sqlite_path(url)
        self._reader, self._writer = _postgresql_engines(url) if sqlite_file is None else _sqlite_engines(url)
        self._turn = asyncio.Lock() if sqlite_file is not None else None
        self._under_way: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which every statement sees what is committed when it starts.

        Raises:
            CannotTell: the database is busy or cannot be opened.
        """
        try:
            async with self._reader.connect() as connection:
                yield connection
        except OperationalError as error:
            explained = _explain(error)
            if explained is None:
                raise
            raise explained from error

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back when it raises.

        Raises:
            Full: the disk is full.
            CannotTell: another process holds the database for too long, or it cannot be written.
        """
        try:
            if self._turn is None:
                async with self._writer.begin() as connection:
                    yield connection
            else:
                async with self._turn, self._writer.begin() as connection:
                    yield connection
        except OperationalError as error:
            explained = _explain(error)
            if explained is None:
                raise
            raise explained from error

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
        await self._reader.dispose()
        await self._writer.dispose()


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
