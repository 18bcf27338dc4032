"""Name lookups that are shared: a burst of connections asks the resolver once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence

from reliquary.upstream.addresses import Resolve

LIFE = 10.0
"""Seconds an answer is used; short, since what it names is judged again for each connection anyway."""
MOST = 256


class Names:
    """A resolver that remembers answers for a moment, and joins those who ask for one name at a time.

    Resolvers drop questions when fifty come at once, and clients of theirs wait five seconds then.

    Args:
        resolve: looks names up.
        clock: monotonic seconds.
    """

    def __init__(self, resolve: Resolve, clock: Callable[[], float]) -> None:
        self._resolve = resolve
        self._clock = clock
        self._known: OrderedDict[tuple[str, int], tuple[float, Sequence[str]]] = OrderedDict()
        self._asked: dict[tuple[str, int], asyncio.Task[Sequence[str]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host; raises OSError. An asker that goes cancels nobody else's answer."""
        at = host, port
        until, addresses = self._known.get(at, (0.0, ()))
        if self._clock() < until:
            return addresses
        task = self._asked.get(at)
        if task is None:
            task = self._asked[at] = asyncio.create_task(self._ask(host, port))
            task.add_done_callback(lambda _: self._asked.pop(at, None))
        return await asyncio.shield(task)

    async def _ask(self, host: str, port: int) -> Sequence[str]:
        addresses = await self._resolve(host, port)
        self._known[host, port] = (self._clock() + LIFE, addresses)
        self._known.move_to_end((host, port))
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return addresses
