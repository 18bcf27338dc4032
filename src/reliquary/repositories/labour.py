"""Work that keeps a processor busy: one piece at a time, beside the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Labour:
    """One thread's worth of parsing and rendering.

    Two such threads would be no faster than one, since they share the interpreter's lock, and they
    would leave the event loop a third of it in place of a half. What was begun is finished before
    anything new is taken up: a document that was parsed weighs much more than one that was not.
    """

    def __init__(self) -> None:
        self._busy = False
        self._begun: deque[asyncio.Future[None]] = deque()
        self._new: deque[asyncio.Future[None]] = deque()

    async def do(self, work: Callable[[], T], *, begun: bool = False) -> T:
        """Run ``work`` in a thread when its turn comes.

        Args:
            begun: it goes on with something, and comes before what begins something.
        """
        await self._enter(self._begun if begun else self._new)
        try:
            return await asyncio.to_thread(work)
        finally:
            self._leave()

    async def _enter(self, queue: deque[asyncio.Future[None]]) -> None:
        if not self._busy:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        for queue in (self._begun, self._new):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._busy = False
