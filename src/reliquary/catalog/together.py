"""Write transactions of SQLite, run whole on one thread; those that meet share a commit.

A commit waits for the disk, and so does whoever comes next. So a transaction that many ask for is a
function: it goes to a thread once, and those that wait for the same turn go along with it. One that waits
for nothing is not worth a thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import OperationalError

from reliquary.catalog.translated import Direct, Translations

T = TypeVar("T")
Work: TypeAlias = Callable[[Connection], Any]

MOST = 16
"""Works that share one transaction at the most: one that fails makes all of them run again."""
FEW = 2
"""Works that are run in the event loop at the most."""
BUSY_SECONDS = 10
"""Seconds that a transaction waits for other processes."""


class Together:
    """The writing side of one SQLite database.

    Args:
        engine: whose connections begin as writers.
        turn: held while a transaction lasts; other writers of this process take it too.
        translations: of statements that are run all the time.
        at_once: its commits do not wait for the disk; few works are run where they are asked for.
        after: follows each transaction, in the same turn.
    """

    def __init__(
        self,
        engine: Engine,
        turn: asyncio.Lock,
        translations: Translations,
        *,
        at_once: bool = False,
        after: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._engine = engine
        self._turn = turn
        self._translations = translations
        self._at_once = at_once
        self._after = after
        self._waiting: deque[tuple[Work, asyncio.Future[Any]]] = deque()
        self._leading: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns, when it is committed.

        Args:
            work: writes on the connection it is given; runs in a thread, once more when another
                that shared its transaction failed.

        Raises:
            Exception: what ``work`` or the commit raised; then nothing of it is kept.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._leading is None or self._leading.done():
            self._leading = asyncio.create_task(self._lead())
        return await future

    async def _lead(self) -> None:
        while self._waiting:
            async with self._turn:
                members = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
                if len(members) == 1 or not await self._settle(members):
                    for member in members:
                        await self._settle([member])
                if self._after is not None:
                    await self._after()

    async def _settle(self, members: Sequence[tuple[Work, asyncio.Future[Any]]]) -> bool:
        """Run them in one transaction and tell each; False when that failed and several share it."""
        works = [work for work, _ in members]
        outcomes = await asyncio.gather(self._committed(works), return_exceptions=True)
        if isinstance(outcomes[0], BaseException):
            if len(members) > 1:
                return False
            if not members[0][1].done():
                members[0][1].set_exception(outcomes[0])
            return True
        for (_, future), result in zip(members, outcomes[0], strict=True):
            if not future.done():
                future.set_result(result)
        return True

    async def _committed(self, works: Sequence[Work]) -> list[Any]:
        if self._at_once and len(works) <= FEW:
            with self._engine.connect() as connection:
                transaction = begin_at_once(connection)
                if transaction is not None:
                    with transaction:
                        return self._run(connection, works)
        return await asyncio.to_thread(self._commit, works)

    def _commit(self, works: Sequence[Work]) -> list[Any]:
        with self._engine.begin() as connection:
            return self._run(connection, works)

    def _run(self, connection: Connection, works: Sequence[Work]) -> list[Any]:
        direct = cast("Connection", Direct(connection, self._translations))
        return [work(direct) for work in works]


def begin_at_once(connection: Connection) -> RootTransaction | None:
    """A transaction that may write, or None where another process has one, or something is wrong that a second try
    will tell."""
    here = driver(connection)
    here.execute("PRAGMA busy_timeout=0")
    try:
        return connection.begin()
    except OperationalError:
        return None
    finally:
        here.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")


def driver(connection: Connection) -> Any:
    """The driver's own connection."""
    return connection.connection.driver_connection
