"""What verbs and queries may do with any repository: look, and ask."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from reliquary.catalog.publishing import TOMBSTONE
from reliquary.errors import NotHere, Unavailable
from reliquary.formats.base import FileKey, Format
from reliquary.formats.verbs import PublicKey, Reply, Shelf
from reliquary.repositories import rules
from reliquary.repositories.base import ALONE, Company, Permit, Repository
from reliquary.repositories.context import Context
from reliquary.types import NOTHING, Action, Entry, StoredFile, Verdict

T = TypeVar("T")
PATIENCE = 5.0
"""Seconds that a publisher waits for what the members of a group know of a name."""


def visible(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties that formats may see: not those that remember removed file names."""
    return {name: value for name, value in properties.items() if not name.startswith(TOMBSTONE)}


async def _told(shelf: Shelf, name: str) -> Mapping[str, str]:
    try:
        return await shelf.properties(name)
    except (NotHere, Unavailable):
        return {}


def known(row: StoredFile) -> Entry:
    """A row's entry, with the size of its bytes where they are here."""
    return replace(row.entry, size=row.entry.size if row.blob is None else row.size)


class LookingShelf:
    """What every shelf can do: look."""

    def __init__(
        self,
        repository: Repository,
        context: Context,
        publisher: str | None,
        permit: Permit,
        company: Company = ALONE,
    ) -> None:
        self._company = company
        self._spec = repository.spec
        self._format: Format = repository.format
        self._context = context
        self._publisher = publisher
        self._permit = permit

    @property
    def repository(self) -> str:
        return self._spec.title

    @property
    def public(self) -> bool:
        outermost = self._company.groups[0].spec if self._company.groups else self._spec
        return outermost.anonymous_read

    @property
    def publisher(self) -> str | None:
        return self._publisher

    @property
    def options(self) -> Mapping[str, Any]:
        return self._spec.options

    @property
    def now(self) -> datetime:
        return self._context.now()

    async def permit(self, action: Action, name: str) -> None:
        await self._permit(self._spec, action, name)

    async def entries(self, name: str) -> Sequence[Entry]:
        rows = await self._context.catalog.files.of_package(self._spec.id, self._format.normalise(name))
        return [known(row) for row in rows]

    async def entry(self, key: FileKey) -> Entry | None:
        found = await self._entry(key)
        for other in self._company.beside if found is None else ():
            if (found := await other.entry(key)) is not None:
                break
        return found

    async def _entry(self, key: FileKey) -> Entry | None:
        rows = await self._context.catalog.files.find([self._spec.id], key.path)
        return known(rows[0]) if rows else None

    async def offered(self, names: set[str]) -> set[str]:
        found: set[str] = set()
        for other in self._company.beside:
            found |= await other.offered(names)
        return found

    async def elsewhere(self, names: Sequence[str]) -> Sequence[Mapping[str, str]]:
        kept = {self._format.normalise(name) for name in names}
        asked: list[asyncio.Task[Mapping[str, str]]] = []
        for other in self._company.elsewhere:
            # What rules and hosted members keep is told to no upstream, not even by a question.
            if other.hosted or await other.offered(kept) == kept:
                asked += [asyncio.ensure_future(_told(other, name)) for name in names]
        if not asked:
            return []
        done, late = await asyncio.wait(asked, timeout=PATIENCE)
        for each in late:
            each.cancel()
        return [facts for each in asked if each in done and (facts := each.result())]

    async def serial(self, name: str) -> int:
        return await self._context.catalog.packages.serial([self._spec.id], name)

    async def survey(self, fact: str) -> Sequence[tuple[str, str]]:
        told = await self._context.catalog.packages.facts(self._spec.id, fact)
        shown = await self._shown({name for name, _ in told})
        found = {name: value for name, value in told if name in shown}
        for other in self._company.beside:
            for name, value in await other.survey(fact):
                found.setdefault(name, value)
        return sorted(found.items())

    async def names(self) -> Sequence[tuple[str, int]]:
        found = await self._context.catalog.packages.packages(self._spec.id)
        return [(name, serial) for name, serial in found if self._shows(name)]

    async def _shown(self, names: set[str]) -> set[str]:
        """Those of our names that may be told of."""
        return {name for name in names if self._shows(name)}

    def _shows(self, name: str) -> bool:
        return rules.verdict(self._company.screen, name) is not Verdict.DENY

    async def changes(self, since: int) -> Sequence[tuple[str, str, int, str, int]]:
        rows = await self._context.catalog.events.since(self._spec.id, since, 50_000)
        return [
            (row.name, row.version, int(row.at.timestamp()), row.action, row.serial)
            for row in rows
            if self._shows(row.name)
        ]

    async def properties(self, name: str) -> Mapping[str, str]:
        normal = self._format.normalise(name)
        return visible(await self._context.catalog.packages.properties(self._spec.id, normal))

    async def downloads(self, name: str) -> Mapping[str, int]:
        normal = self._format.normalise(name)
        found: Counter[str] = Counter()
        if await self._shown({normal}):
            found.update(await self._context.catalog.files.downloads(self._spec.id, normal))
        for other in self._company.beside:
            found.update(await other.downloads(name))
        return found

    async def read(self, key: str, limit: int = 1_048_576) -> bytes:
        rows = await self._context.catalog.files.find([self._spec.id], key)
        if not rows or rows[0].blob is None or (rows[0].size or 0) > limit:
            raise NotHere(f"{self._spec.title} has no stored file {key}")
        return b"".join([chunk async for chunk in self._context.store.read(rows[0].blob)])

    async def inspect(self, look: Callable[[], T]) -> T:
        return await asyncio.to_thread(look)

    async def ask(
        self, path: str, headers: Mapping[str, str] = NOTHING, *, body: bytes | None = None
    ) -> Sequence[Reply]:
        replies: list[Reply] = []
        with suppress(NotHere, Unavailable):
            replies.append(await self._pass_on(path, headers, body, aside=True))
        for other in self._company.beside:
            replies += await other.ask(path, headers, body=body)
        return replies

    async def _pass_on(
        self, path: str, headers: Mapping[str, str], body: bytes | None = None, *, aside: bool = False
    ) -> Reply:
        raise NotHere(f"{self._spec.title} has no upstream")

    async def forward(self, path: str, headers: Mapping[str, str]) -> Reply:
        return await self._pass_on(path, headers)

    async def sign(self, data: bytes) -> tuple[str, str]:
        return await self._context.signing.sign(self._format.name, data)

    async def keys(self) -> Sequence[PublicKey]:
        return await self._context.signing.keys(self._format.name)
