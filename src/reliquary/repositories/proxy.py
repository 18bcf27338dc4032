"""Proxy repositories: an upstream's packages, fetched once, checked, kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from reliquary.errors import WrongMethod
from reliquary.formats.base import Call, FileKey, Format, PageKey
from reliquary.formats.verbs import Shelf
from reliquary.repositories import rules
from reliquary.repositories.base import ALONE, Company, Contents, FileHit, Permit, Repository, Row
from reliquary.repositories.briefs import Briefs
from reliquary.repositories.context import Context
from reliquary.repositories.eviction import make_room
from reliquary.repositories.filling import Filling
from reliquary.repositories.following import Following
from reliquary.repositories.lists import Held, row_of, unfetched
from reliquary.repositories.passing import ProxyShelf
from reliquary.repositories.projection import HEAVY
from reliquary.types import Action, Entry, RepositorySpec, StoredFile, UpstreamState
from reliquary.upstream.base import Upstream


class Proxy(Following):
    """Implements `reliquary.repositories.base.Repository`; its arguments are those of `Following`."""

    def __init__(
        self,
        spec: RepositorySpec,
        format: Format,
        context: Context,
        upstreams: Sequence[Upstream] = (),
        groups: Sequence[int] = (),
    ) -> None:
        super().__init__(spec, format, context, upstreams, groups)
        self.unanswered: dict[str, float] = {}
        self.next_question = 0.0
        self.briefs = Briefs(self, context)
        self._filling = Filling(self, context)

    async def file(self, key: FileKey, *, head: bool = False) -> FileHit:
        self.admit(key.name)
        return await self._filling.file(key, head=head)

    async def known(self, key: FileKey) -> StoredFile | None:
        """A file's row, or what the kept documents say of it; the upstream is asked only where a document
        was lost. Raises NotHere, Unavailable then."""
        found = await self._context.catalog.files.find([self._spec.id], key.path)
        if found:
            return found[0]
        for page in self._format.pages(key.scope):
            state = await self._context.catalog.pages.state(self._spec.id, page.path)
            if state is not None and self._upstreams and not self._current(page, state):
                await self.settle(page)
                state = await self._context.catalog.pages.state(self._spec.id, page.path)
            if state is None or state.body is None:
                continue
            entry = await self._entry(page, state, key)
            if entry is not None:
                return unfetched(self._spec.id, entry, state.since or state.checked_at)
        return None

    async def _entry(self, page: PageKey, state: UpstreamState, key: FileKey) -> Entry | None:
        """A file's entry in the document that is kept for a page; one that was lost is fetched again."""
        lists, read = self._context.lists, partial(self.read, page)
        entry = await lists.find(self._spec.id, page.path, state.body or "", key, read)
        if entry is not None or not self._upstreams or await lists.have(state.body):
            return entry
        await self.refresh(page)
        fresh = await self._context.catalog.pages.state(self._spec.id, page.path)
        return await lists.find(self._spec.id, page.path, (fresh and fresh.body) or "", key, read)

    async def rows(self, name: str) -> Sequence[StoredFile]:
        """The package's files, those that were never asked for too, as far as pages were read; its name in any
        spelling."""
        normal = self._format.normalise(name)
        found = {row.entry.key: row for row in await self._context.catalog.files.of_package(self._spec.id, normal)}
        for page in self._format.pages(name):
            state = await self._context.catalog.pages.state(self._spec.id, page.path)
            held = await self.held(page, state)
            if state is not None and held is not None:
                since = state.since or state.checked_at
                entries = [entry for entry in held.reading.entries if entry.key not in found]
                found |= {entry.key: unfetched(self._spec.id, entry, since) for entry in entries}
        return list(found.values())

    async def contents(self, key: PageKey, media: str) -> Contents:
        catalog = self._context.catalog
        held = await self._held(key)
        rows = await catalog.files.in_scope(self._spec.id, key.scope)
        heavy = held is not None and media not in held.rows and len(held.places) > HEAVY
        merge = partial(self._merged, held, rows, media)
        found = await self._context.labour.do(merge, begun=True) if heavy else merge()
        names: Sequence[str] = held.reading.names if held is not None and key.children is not None else ()
        if self._spec.rules:
            found = [row for row in found if rules.admits(self._spec.rules, row.name)]
            names = [name for name in names if rules.admits(self._spec.rules, name)]
        return Contents(
            rows=found,
            names=[(name, 0) for name in names],
            properties={**held.reading.properties, **held.reading.about} if held is not None and key.name else {},
            serial=await catalog.packages.serial([self._spec.id], key.scope),
        )

    async def said(self, key: PageKey) -> Mapping[str, str]:
        """What a page says of its package beside the files; raises NotHere, Unavailable."""
        await self.settle(key)
        held = await self._held(key)
        return {**held.reading.properties, **held.reading.about} if held is not None else {}

    async def told(self, upstream: Upstream) -> Mapping[str, str]:
        """What an upstream tells of where its files and services are; raises NotHere, Unavailable."""
        guide = self._format.guide(upstream.base)
        return await self.said(guide) if guide is not None else {}

    def _merged(self, held: Held | None, stored: Sequence[StoredFile], media: str) -> Sequence[Row]:
        """What the document lists, as the rows know better, and what only rows list."""
        listed = held.listed(self._format, media) if held is not None else []
        if not stored:
            return listed
        known = {row.entry.key: row.entry for row in stored}
        found = [
            row if (entry := known.pop(row.key, None)) is None else row_of(self._format, entry, media) for row in listed
        ]
        return found + [row_of(self._format, entry, media) for entry in known.values() if entry.listed]

    # What every repository answers

    async def owns(self, names: Sequence[str]) -> set[str]:
        return set()

    async def claims(self) -> set[str]:
        return set()

    async def lost(self, key: FileKey, blob: str) -> bool:
        self._context.count("blobs_missing")
        for repository_id, path in await self._context.catalog.files.lost(blob):
            self._context.hot.discard(repository_id, path)
        for group in self._groups:
            self._context.hot.discard(group, key.path)
        return True

    def target(self) -> Repository | None:
        return None

    async def shelf(self, publisher: str | None, permit: Permit, call: Call, company: Company = ALONE) -> Shelf:
        if call.action is not Action.READ:
            raise WrongMethod(f"{self._spec.title} is a proxy: publish to a hosted repository or to a group with one")
        if call.name is not None:
            self.admit(self._format.normalise(call.name))
        return ProxyShelf(self, self._context, publisher, permit, company)

    def now(self) -> datetime:
        """The time, UTC."""
        return self._context.now()

    async def evict(self) -> int:
        """Bring the cache below its limit, the least recently used first; returns how many went."""
        most = self._spec.options.get("cache_max_size")
        if most is None:
            return 0
        return await self._context.flights.join(("evict", self._spec.id), lambda: make_room(self, self._context, most))

    def forget(self, key: str) -> None:
        """Drop a file from memory, here and in the groups."""
        for each in (self._spec.id, *self._groups):
            self._context.hot.discard(each, key)
