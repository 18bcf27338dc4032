"""The embedded database, asked where the question stands.

SQLite answers an indexed question in less time than it takes to hand it to a thread and back, so
statements run in the event loop, and so do transactions that wait for nothing. What waits (for another
process, for the disk) or takes long runs in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Engine, RootTransaction, ScalarResult, create_engine, event
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.sql import Executable

from reliquary.catalog.together import BUSY_SECONDS, Together, begin_at_once, driver
from reliquary.catalog.translated import Direct, Translations

T = TypeVar("T")
P = ParamSpec("P")

READERS = 4
TIDY = 200
"""Transactions without a flush after which their log is written back, with one."""
MANY = 50
"""Rows that are written in one statement from which on a thread writes them."""


class Statements:
    """As much of SQLAlchemy's AsyncConnection as the catalog uses, over a connection of this thread.

    Args:
        translations: of questions with parameters: these are statements that are made once.
        apart: run every statement, and fetch its rows, in a thread.
    """

    def __init__(self, connection: Connection, translations: Translations, *, apart: bool = False) -> None:
        self._connection = connection
        self._translations = translations
        self._apart = apart

    @property
    def dialect(self) -> Dialect:
        """What is spoken."""
        return self._connection.dialect

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> CursorResult[Any]:
        """Run a statement, once for each of the parameters."""
        if self._apart:
            return await _to_its_end(partial(self._fetch, statement, parameters))
        if isinstance(parameters, list) and len(parameters) >= MANY:
            return await asyncio.to_thread(self._connection.execute, statement, parameters)
        return self._execute(statement, parameters)

    def _execute(self, statement: Executable, parameters: Any) -> CursorResult[Any]:
        found = self._translations.execute(self._connection, statement, parameters)
        return cast("CursorResult[Any]", found)  # has what the catalog uses of one

    def _fetch(self, statement: Executable, parameters: Any) -> Any:
        result = self._execute(statement, parameters)
        return result.freeze()() if isinstance(result, CursorResult) and result.returns_rows else result

    async def run_sync(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``work`` returns, given the connection: small statements only."""
        return work(cast("Connection", Direct(self._connection, self._translations)), *args, **kwargs)

    async def scalar(self, statement: Executable) -> Any:
        """The first column of the first row, or None."""
        return (await self.execute(statement)).scalar()

    async def scalars(self, statement: Executable) -> ScalarResult[Any]:
        """The first column of each row."""
        return (await self.execute(statement)).scalars()


async def _to_its_end(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread; an asker that is cancelled gives the connection back only after it."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def _begun(connection: Connection, *, at_once: bool) -> RootTransaction:
    """A transaction that may write; waits for other processes, in a thread."""
    if at_once and (begun := begin_at_once(connection)) is not None:
        return begun
    try:
        return await _to_its_end(connection.begin)
    except asyncio.CancelledError:
        connection.rollback()
        raise


def _write_back(engine: Engine) -> None:
    with engine.connect() as connection:
        driver(connection).execute("PRAGMA wal_checkpoint(PASSIVE)")


def _pragmas(engine: Engine, *pragmas: str) -> Engine:
    def connected(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_SECONDS * 1000}", "foreign_keys=ON", *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", connected)
    return engine


def begin_immediate(connection: Connection) -> None:
    """Take the write lock with the first statement, not with the first write."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _writer(address: URL, *pragmas: str) -> Engine:
    # isolation_level None keeps the driver from opening transactions of its own.
    arguments = {"isolation_level": None, "check_same_thread": False}
    writer = create_engine(address, hide_parameters=True, connect_args=arguments, pool_size=1, max_overflow=0)
    event.listen(writer, "begin", begin_immediate)
    return _pragmas(writer, "journal_mode=WAL", *pragmas)


class Embedded:
    """Connections to one SQLite file: readers, and writers one after the other.

    Args:
        address: for the synchronous driver.
    """

    def __init__(self, address: URL) -> None:
        reader = create_engine(
            address,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            connect_args={"check_same_thread": False},
            pool_size=READERS + 1,
            max_overflow=-1,  # a pool that waits would stop the event loop
        )
        self._reader = _pragmas(reader, "query_only=ON")
        self._durable = _writer(address, "synchronous=FULL")
        # Its commits only write to the system's memory: what would flush the log is asked for in `_tidy`.
        self._relaxed = _writer(address, "synchronous=NORMAL", "wal_autocheckpoint=0")
        self._near: Connection | None = None
        self._translations = Translations(self._reader.dialect)
        self._turn = asyncio.Lock()
        self._apart = asyncio.Semaphore(READERS)
        self._untidy = 0
        self.together = Together(self._durable, self._turn, self._translations)
        self.relaxed = Together(self._relaxed, self._turn, self._translations, at_once=True, after=self._tidy)

    @asynccontextmanager
    async def reading(self, *, large: bool) -> AsyncIterator[Statements]:
        """A connection that reads; see `reliquary.catalog.database.Database.reading`."""
        if not large:
            # One for all of them: each is over before the next begins, and a connection out of the
            # pool costs as much as the question.
            if self._near is None:
                self._near = self._reader.connect()
            yield Statements(self._near, self._translations)
            return
        async with self._apart:
            with self._reader.connect() as connection:
                yield Statements(connection, self._translations, apart=True)

    @asynccontextmanager
    async def writing(self, *, durable: bool) -> AsyncIterator[Statements]:
        """One transaction; see `reliquary.catalog.database.Database.writing`."""
        engine = self._durable if durable else self._relaxed
        async with self._turn:
            with engine.connect() as connection:
                transaction = await _begun(connection, at_once=not durable)
                try:
                    yield Statements(connection, self._translations)
                    if durable:
                        await asyncio.to_thread(transaction.commit)  # waits for the disk
                    else:
                        transaction.commit()
                except BaseException:
                    transaction.rollback()
                    raise
            if not durable:
                await self._tidy()

    async def _tidy(self) -> None:
        """Write the log back now and then, as SQLite would by itself in the midst of some commit; the turn is held."""
        self._untidy += 1
        if self._untidy >= TIDY:
            self._untidy = 0
            await _to_its_end(partial(_write_back, self._relaxed))

    def close(self) -> None:
        """Close every connection."""
        if self._near is not None:
            self._near.close()
            self._near = None
        for engine in (self._reader, self._durable, self._relaxed):
            engine.dispose()
