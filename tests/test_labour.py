"""Heavy work: one piece at a time, what was begun first, and nobody lost when an asker goes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from reliquary.repositories.labour import Labour

pytestmark = pytest.mark.anyio


async def test_one_at_a_time_and_what_was_begun_first() -> None:
    labour, gate, done = Labour(), threading.Event(), list[str]()

    def work(name: str) -> str:
        assert gate.wait(10)
        done.append(name)
        return name

    def queue(name: str, *, begun: bool) -> asyncio.Task[str]:
        return asyncio.create_task(labour.do(lambda: work(name), begun=begun))

    tasks = [queue(name, begun=begun) for name, begun in (("a", False), ("new", False), ("gone", True), ("next", True))]
    await asyncio.sleep(0)
    tasks.pop(2).cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*tasks) == ["a", "new", "next"]
    assert done == ["a", "next", "new"]
    assert await labour.do(lambda: "again") == "again"


async def test_an_error_lets_the_next_one_in() -> None:
    labour = Labour()
    with pytest.raises(ZeroDivisionError):
        await labour.do(lambda: 1 / 0)
    assert await labour.do(lambda: 1) == 1
