"""Single flight: any number of askers, one doing, and nobody's leaving cancels it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Flights:
    """Work under way, by key."""

    def __init__(self) -> None:
        self._tasks: dict[Any, asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, key: Any, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        """The task that does the work for this key: a running one, or a new one."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.ensure_future(_run(work))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return task

    async def join(self, key: Any, work: Callable[[], Awaitable[T]]) -> T:
        """Wait for the work of this key; its error is raised in every asker."""
        return await asyncio.shield(self.begin(key, work))

    def _landed(self, key: Any, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            task.exception()  # an error nobody waited for is not a warning


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
