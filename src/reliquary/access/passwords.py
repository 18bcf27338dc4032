"""Password checks: argon2 in threads, two at a time, with a short memory of good answers.

A check costs about 100 ms of a core. So a good answer is remembered for some minutes, and a
name that failed too often is refused without any work for the rest of the minute.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

K = TypeVar("K")
V = TypeVar("V")

REMEMBERED = 10_000
"""Good answers, and names with failures, that are kept in memory."""

FAILURES = 10
WINDOW = 60.0


@dataclass(slots=True)
class _Failures:
    since: float
    count: int


class Passwords:
    """Hashes and checks passwords; one of it lives as long as the process.

    Args:
        hasher: argon2 with its parameters.
        clock: seconds that never run backwards.
        life: seconds a good answer is remembered.
        limit: how many checks run at once.
    """

    def __init__(
        self,
        hasher: PasswordHasher | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        life: float = 300,
        limit: int = 2,
    ) -> None:
        self._hasher = hasher or PasswordHasher()
        self._clock = clock
        self._life = life
        self._room = asyncio.Semaphore(limit)
        self._salt = secrets.token_bytes(32)
        self._decoy = _decoy(self._hasher)
        self._good: OrderedDict[tuple[str, str, bytes], float] = OrderedDict()
        self._failed: OrderedDict[str, _Failures] = OrderedDict()

    async def hash(self, password: str) -> str:
        """The encoded hash to store."""
        async with self._room:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def check(self, user: str, stored: str | None, password: str) -> bool:
        """Whether ``password`` is the one behind the hash ``stored``.

        An unknown user or one without password (None) takes as long as a wrong password.
        """
        key = (user, stored or "", hashlib.sha256(self._salt + password.encode()).digest())
        if self._remembers(key):
            return True
        if self._locked(user):
            return False
        async with self._room:
            # Others may have asked the same, or failed too often, while this one waited.
            if self._remembers(key):
                return True
            if self._locked(user):
                return False
            right = await asyncio.to_thread(self._verify, stored or self._decoy, password)
            good = right and stored is not None
            self._note(user, key, good)
        return good

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False

    def _note(self, user: str, key: tuple[str, str, bytes], good: bool) -> None:
        if good:
            _put(self._good, key, self._clock() + self._life)
            return
        failures = self._failed.pop(user, None)
        if failures is None or self._clock() - failures.since >= WINDOW:
            failures = _Failures(self._clock(), 0)
        failures.count += 1
        _put(self._failed, user, failures)

    def _remembers(self, key: tuple[str, str, bytes]) -> bool:
        until = self._good.get(key)
        if until is not None and until <= self._clock():
            del self._good[key]
        return until is not None and until > self._clock()

    def _locked(self, user: str) -> bool:
        failures = self._failed.get(user)
        return failures is not None and failures.count >= FAILURES and self._clock() - failures.since < WINDOW


def _put(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    while len(memory) > REMEMBERED:
        memory.popitem(last=False)


def _decoy(hasher: PasswordHasher) -> str:
    """A hash that no password fits, with the cost of a real one, made without that cost."""
    salt, tail = (
        b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${tail}"
