"""Circuit breakers: a host that keeps failing is left alone for a while, then probed."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress

from reliquary.errors import Unavailable

log = logging.getLogger("reliquary.upstream")


class Breaker:
    """The state of one host. Closed: all may pass. Open: none until the cool-down is over; then one
    probe at a time, whose outcome closes it or opens it for twice as long.

    Args:
        host: named in messages.
        failures: consecutive failures that open it.
        cooldown: seconds it stays open the first time.
        longest: seconds it stays open at most.
        clock: monotonic seconds.
    """

    def __init__(
        self, host: str, *, failures: int, cooldown: float, longest: float, clock: Callable[[], float]
    ) -> None:
        self._host = host
        self._failures = failures
        self._cooldown = cooldown
        self._longest = longest
        self._clock = clock
        self._failed = 0
        self._span = cooldown
        self._open_until: float | None = None
        self._rest_until = -math.inf
        self._probing = False
        self._probed = asyncio.Event()

    @property
    def probing(self) -> bool:
        """Whether somebody is finding out if the host answers again."""
        return self._probing

    async def probed(self, patience: float) -> None:
        """Wait until the probe under way is over, at most ``patience`` seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._probed.wait(), patience)

    @property
    def open(self) -> bool:
        """Whether the host is being left alone or probed."""
        return self._open_until is not None

    def enter(self) -> bool:
        """Ask to pass.

        Returns:
            True when the caller is the probe and owes a ``leave``.

        Raises:
            Unavailable: not now; ``retry_after`` says how many seconds are left.
        """
        now = self._clock()
        if now < self._rest_until:
            raise self._refusal("asked to be left alone", self._rest_until - now)
        if self._open_until is None:
            return False
        if now < self._open_until:
            raise self._refusal("keeps failing and is left alone", self._open_until - now)
        if self._probing:
            raise self._refusal("is being probed", self._cooldown)
        self._probing = True
        self._probed.clear()
        return True

    def leave(self) -> None:
        """The probe is over, whatever came of it."""
        self._probing = False
        self._probed.set()

    def succeed(self) -> None:
        """The host answered."""
        self._failed = 0
        self._span = self._cooldown
        self._open_until = None

    def fail(self) -> None:
        """The host did not answer usably. Requests that were under way when it opened change nothing."""
        self._failed += 1
        now = self._clock()
        if self._open_until is None and self._failed >= self._failures:
            self._open_until = now + self._span
            log.warning(
                "the upstream %s failed %d times and is left alone for %g s", self._host, self._failed, self._span
            )
        elif self._open_until is not None and now >= self._open_until:
            self._span = min(self._span * 2, self._longest)
            self._open_until = now + self._span

    def rest(self, seconds: float) -> None:
        """The host asked to be left alone (429 with Retry-After, RFC 9110 section 10.2.3)."""
        self._rest_until = max(self._rest_until, self._clock() + seconds)

    def _refusal(self, why: str, seconds: float) -> Unavailable:
        return Unavailable(f"the upstream {self._host} {why}", retry_after=max(1, math.ceil(seconds)))


class Budget:
    """How many retries may be spent, so that a failing upstream is not asked several times as often.

    Args:
        most: retries that can be saved up, and that there are at the start.
        earned: what one good answer adds.
    """

    def __init__(self, most: int, earned: float = 0.1) -> None:
        self._most = float(most)
        self._earned = earned
        self._left = float(most)

    def earn(self) -> None:
        """A good answer came."""
        self._left = min(self._most, self._left + self._earned)

    def spend(self) -> bool:
        """Take one retry; False when there is none left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
