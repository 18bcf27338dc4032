"""A shelf in memory, and requests to it: what verbs and queries are run against."""

from __future__ import annotations

import hashlib
import io
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, TypeVar

from reliquary.errors import AlreadyThere, Forbidden, Malformed, NotHere, TooLarge, Unauthenticated, WrongMethod
from reliquary.formats.base import FileKey
from reliquary.formats.verbs import Accounts, Part, PublicKey, Received, Reply
from reliquary.types import NOTHING, Action, Digests, Entry

T = TypeVar("T")
NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)


@dataclass
class MemoryReceived:
    data: bytes
    digests: Digests
    discarded: bool = False

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> IO[bytes]:
        return io.BytesIO(self.data)

    async def discard(self) -> None:
        self.discarded = True


def digest(algorithm: str, data: bytes) -> str:
    hasher = hashlib.blake2b(digest_size=32) if algorithm == "blake2b_256" else hashlib.new(algorithm)
    hasher.update(data)
    return hasher.hexdigest()


@dataclass
class MemoryShelf:
    """Implements `reliquary.formats.verbs.Shelf`; ``asked`` is what was permitted, in order."""

    hosted: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    forbidden: frozenset[str] = frozenset()
    upstream: dict[str, Reply] = field(default_factory=dict)
    rows: dict[str, tuple[Entry, bytes]] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    events: list[tuple[str, str, int, str, int]] = field(default_factory=list)
    asked: list[tuple[Action, str]] = field(default_factory=list)
    received: list[MemoryReceived] = field(default_factory=list)
    repository: str = "pypi/main"
    publisher: str | None = "ann"
    now: datetime = NOW
    public: bool = True
    answers: dict[str, list[Reply]] = field(default_factory=dict)

    async def permit(self, action: Action, name: str) -> None:
        self.asked.append((action, name))
        if name in self.forbidden:
            raise Forbidden(f"you may not {action} {name}")

    async def entries(self, name: str) -> Sequence[Entry]:
        return [entry for entry, _ in self.rows.values() if entry.name == name]

    async def entry(self, key: FileKey) -> Entry | None:
        return self.rows[key.path][0] if key.path in self.rows else None

    async def serial(self, name: str) -> int:
        return max((event[4] for event in self.events if event[0] == name), default=0)

    async def survey(self, fact: str) -> Sequence[tuple[str, str]]:
        return sorted((name, facts[fact]) for name, facts in self.facts.items() if fact in facts)

    async def offered(self, names: set[str]) -> set[str]:
        return names

    async def names(self) -> Sequence[tuple[str, int]]:
        there = {entry.name for entry, _ in self.rows.values()}
        found = {name: serial for name, _, _, _, serial in self.events if name in there}
        return sorted(found.items())

    async def changes(self, since: int) -> Sequence[tuple[str, str, int, str, int]]:
        return [event for event in self.events if event[4] > since]

    async def properties(self, name: str) -> Mapping[str, str]:
        return dict(self.facts.get(name, {}))

    async def downloads(self, name: str) -> Mapping[str, int]:
        return {}

    async def elsewhere(self, names: Sequence[str]) -> Sequence[Mapping[str, str]]:
        return ()

    async def set_properties(self, name: str, values: Mapping[str, str | None]) -> None:
        if not values:
            return
        merged = {**self.facts.get(name, {}), **values}
        self.facts[name] = {key: value for key, value in merged.items() if value is not None}

    async def read(self, key: str, limit: int = 1_048_576) -> bytes:
        if key not in self.rows:
            raise NotHere(f"no {key}")
        if len(self.rows[key][1]) > limit:
            raise TooLarge("too large")
        return self.rows[key][1]

    async def receive(
        self, chunks: AsyncIterator[bytes], *, algorithms: Sequence[str] = (), limit: int | None = None
    ) -> Received:
        data = b"".join([chunk async for chunk in chunks])
        received = MemoryReceived(data, {name: digest(name, data) for name in {"sha256", *algorithms}})
        self.received.append(received)
        return received

    async def inspect(self, look: Callable[[], T]) -> T:
        return look()

    async def add(
        self,
        additions: Sequence[tuple[Entry, Received | bytes]],
        *,
        exclusive: bool = True,
        replace: bool = False,
        properties: Mapping[str, str | None] = NOTHING,
        defaults: Mapping[str, str] = NOTHING,
    ) -> bool:
        for entry, _ in additions:
            taken = [row for row, _ in self.rows.values() if (row.name, row.filename) == (entry.name, entry.filename)]
            if exclusive and any(row.key != entry.key for row in taken):
                raise AlreadyThere(f"{entry.filename} has other bytes")
        fresh = [pair for pair in additions if pair[0].key not in self.rows]
        for entry, data in fresh:
            self.rows[entry.key] = (entry, data if isinstance(data, bytes) else data.open().read())
        name = additions[0][0].name
        left = {key: value for key, value in defaults.items() if key not in self.facts.get(name, {})}
        await self.set_properties(name, {**left, **properties})
        if fresh:
            self._note(additions[0][0], "add")
        return bool(fresh)

    async def update(
        self, entries: Sequence[Entry], action: str, *, properties: Mapping[str, str | None] = NOTHING
    ) -> None:
        await self.set_properties(entries[0].name, properties)
        for entry in entries:
            self.rows[entry.key] = (entry, self.rows[entry.key][1])
        self._note(entries[0], action)

    async def remove(
        self,
        keys: Sequence[str],
        action: str = "remove",
        *,
        properties: Mapping[str, str | None] = NOTHING,
        clears: bool = False,
    ) -> int:
        there = [key for key in keys if key in self.rows]
        for key in there:
            await self.set_properties(self.rows[key][0].name, properties)
            self._note(self.rows.pop(key)[0], action)
        return len(there)

    async def forward(self, path: str, headers: Mapping[str, str]) -> Reply:
        if path not in self.upstream:
            raise NotHere(f"no {path} upstream")
        return self.upstream[path]

    async def ask(
        self, path: str, headers: Mapping[str, str] = NOTHING, *, body: bytes | None = None
    ) -> Sequence[Reply]:
        return self.answers.get(path, [])

    async def sign(self, data: bytes) -> tuple[str, str]:
        return "SHA256:key", b64encode(data).decode()

    async def keys(self) -> Sequence[PublicKey]:
        return [PublicKey("SHA256:key", "a key")]

    def _note(self, entry: Entry, action: str) -> None:
        self.events.append((entry.name, entry.version, int(self.now.timestamp()), action, len(self.events) + 1))


@dataclass
class MemoryPart:
    name: str
    data: bytes
    filename: str | None = None
    read: bool = False

    async def chunks(self) -> AsyncIterator[bytes]:
        self.read = True
        for start in range(0, len(self.data), 100):
            yield self.data[start : start + 100]

    async def text(self, limit: int = 1_048_576) -> str:
        self.read = True
        if len(self.data) > limit:
            raise TooLarge("too large")
        return self.data.decode()


@dataclass
class Request:
    """Implements `reliquary.formats.verbs.Incoming`."""

    method: str = "POST"
    segments: tuple[str, ...] = ()
    form: Sequence[MemoryPart] | None = None
    data: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    base_url: str = "http://packages.example/pypi/main/"

    @property
    def accounts(self) -> Accounts:
        raise Unauthenticated("nobody asks here")

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.data

    async def body(self, limit: int) -> bytes:
        if len(self.data) > limit:
            raise TooLarge("too large")
        return self.data

    async def parts(self) -> AsyncIterator[Part]:
        if self.form is None:
            raise Malformed("no form")
        for part in self.form:
            yield part
            assert part.read, "a part must be read before the next one"


def refusing() -> MemoryShelf:
    """The shelf of a proxy."""

    class Refusing(MemoryShelf):
        async def receive(
            self, chunks: AsyncIterator[bytes], *, algorithms: Sequence[str] = (), limit: int | None = None
        ) -> Received:
            raise WrongMethod("a proxy takes no publishing")

    return Refusing(hosted=False)
