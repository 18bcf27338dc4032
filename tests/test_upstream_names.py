"""Lookups: shared by those who ask at once, remembered for a moment, never when they failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from reliquary.upstream.names import LIFE, Names

pytestmark = pytest.mark.anyio


class Resolver:
    """Counts what it is asked, and fails as often as it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise OSError("no such name")
        return [f"192.0.2.{len(self.asked)}"]


async def test_a_burst_asks_once_and_an_answer_lives_for_a_moment() -> None:
    resolver, now = Resolver(), [100.0]
    names = Names(resolver, lambda: now[0])
    resolver.gate.clear()
    tasks = [asyncio.create_task(names("files.example", 443)) for _ in range(50)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    resolver.gate.set()
    assert await asyncio.gather(*tasks[1:]) == [["192.0.2.1"]] * 49
    assert await names("files.example", 443) == ["192.0.2.1"]
    assert resolver.asked == ["files.example"]
    assert await names("files.example", 80) == ["192.0.2.2"], "a port is looked up for itself"
    now[0] += LIFE
    assert await names("files.example", 443) == ["192.0.2.3"]


async def test_a_failure_is_told_and_not_remembered() -> None:
    resolver = Resolver()
    resolver.failures = 1
    names = Names(resolver, lambda: 100.0)
    with pytest.raises(OSError, match="no such name"):
        await names("gone.example", 443)
    assert await names("gone.example", 443) == ["192.0.2.2"]
