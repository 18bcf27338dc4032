"""Transactions that are functions: one after the other, or several in one commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from reliquary.catalog.engine import Catalog
from reliquary.catalog.together import MOST, Together
from reliquary.catalog.translated import Translations
from reliquary.errors import AlreadyThere
from tests.catalog.build import new_file, touched

pytestmark = pytest.mark.anyio


class Notes:
    """Writes lines, and remembers the transaction of each."""

    def __init__(self, together: Together, turn: asyncio.Lock) -> None:
        self.together = together
        self.turn = turn
        self.transactions: list[tuple[str, int]] = []

    async def write(self, line: str) -> str:
        def work(connection: Connection) -> str:
            self.transactions.append((line, id(connection)))
            connection.execute(text("INSERT INTO notes VALUES (:line)"), {"line": line})
            if line.startswith("bad"):
                raise ValueError(line)
            return line.upper()

        return await self.together.run(work)

    async def lines(self) -> list[str]:
        return await self.together.run(lambda connection: list(connection.scalars(text("SELECT line FROM notes"))))


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[Notes]:
    turn = asyncio.Lock()
    engine = create_engine(f"sqlite:///{tmp_path / 'notes.db'}")
    together = Together(engine, turn, Translations(engine.dialect))
    await together.run(lambda connection: connection.execute(text("CREATE TABLE notes (line TEXT)")) and None)
    yield Notes(together, turn)
    engine.dispose()


async def test_who_waits_for_the_same_turn_goes_along(notes: Notes) -> None:
    lines = [f"line {number}" for number in range(MOST + 1)]
    async with notes.turn:
        writing = [asyncio.create_task(notes.write(line)) for line in lines]
        await asyncio.sleep(0.05)
        assert notes.transactions == []
    assert await asyncio.gather(*writing) == [line.upper() for line in lines]
    together = {number for _, number in notes.transactions[:MOST]}
    assert len(together) == 1
    assert [line for line, _ in notes.transactions] == await notes.lines() == lines


async def test_one_that_fails_takes_nobody_down(notes: Notes) -> None:
    async with notes.turn:
        writing = [asyncio.create_task(notes.write(line)) for line in ("a", "bad", "b", "bad too")]
        await asyncio.sleep(0.05)
    outcomes = await asyncio.gather(*writing, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["A", "bad", "B", "bad too"]
    assert [type(outcome) for outcome in outcomes] == [str, ValueError, str, ValueError]
    assert await notes.lines() == ["a", "b"]


async def test_a_caller_that_leaves_stops_nobody(notes: Notes) -> None:
    async with notes.turn:
        leaving, staying = (asyncio.create_task(notes.write(line)) for line in ("bad", "stays"))
        await asyncio.sleep(0.05)
        leaving.cancel()
    assert await staying == "STAYS"
    assert await notes.lines() == ["stays"]


async def test_of_many_at_once_each_is_told_its_own_outcome(catalog: Catalog, hosted: int) -> None:
    files = [new_file(f"{number % 8}.whl", content=f"{number}", key=f"six/{number}") for number in range(24)]
    adding = (catalog.files.add(hosted, [file], touched=touched(), exclusive=True) for file in files)
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    assert [outcome for outcome in outcomes if not isinstance(outcome, AlreadyThere)] == [True] * 8
    assert len(await catalog.files.in_scope(hosted, "six")) == 8


async def test_a_watch_reads_what_changed(catalog: Catalog, hosted: int, database_file: Path) -> None:
    watch = catalog.changes.watch()
    try:
        before = await catalog.changes.latest()
        assert not watch.changed()
        await catalog.files.add(hosted, [new_file("a.whl", content="a")], touched=touched("six", ""))
        assert watch.changed()
        found = watch.since(before)
        assert found is not None and [change.scope for change in found] == ["six", ""]
        assert found == await catalog.changes.since(before)
        assert watch.since(before, 1) == found[:1]
        assert watch.since(found[-1].seq) == []
    finally:
        watch.close()
