"""The snapshots that requests look at, and how they are swapped when something changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from reliquary.access.may import Access
from reliquary.catalog.changes import Watch
from reliquary.errors import SettingsError
from reliquary.formats.base import Format
from reliquary.repositories.build import Estate
from reliquary.repositories.context import Context
from reliquary.types import Actor, Change, RepositorySpec
from reliquary.web.identity import Trust
from reliquary.web.quick import Quick

log = structlog.get_logger("reliquary.state")


class State:
    """One worker's view: immutable snapshots, replaced whole; readers never lock.

    Args:
        rebuild: reads accounts and repositories and makes new snapshots.
        seen: the last change that ``access`` and ``estate`` surely hold.
        watch: tells, without a query, whether any process committed something.
    """

    def __init__(
        self,
        context: Context,
        formats: Mapping[str, Format],
        trust: Trust,
        watch: Watch,
        access: Access,
        estate: Estate,
        rebuild: Callable[[], Awaitable[tuple[Access, Estate, Context]]],
        seen: int = 0,
    ) -> None:
        self.context = context
        self.formats = formats
        self.trust = trust
        self.access = access
        self.estate = estate
        self.ready = True
        self.quick = Quick(context)
        self._watch = watch
        self._rebuild = rebuild
        self._lock = asyncio.Lock()
        self._seen = seen
        self._wanted = self._read = 0

    async def identify(self, authorization: str | None) -> Actor:
        """Who asks; a token's use is noted. Raises Unauthenticated for credentials that are not good."""
        actor = await self.access.identify(authorization)
        if actor.token_id is not None:
            self.context.tokens_used[actor.token_id] = self.context.now()
        return actor

    def behind(self) -> bool:
        """Whether something was committed that was not read yet: microseconds, no query."""
        if self._watch.changed():
            self._wanted += 1
        return self._read < self._wanted

    async def catch_up(self) -> None:
        """Read the new Change rows and forget what they name; swap the snapshots when the
        configuration changed."""
        async with self._lock:
            wanted = self._wanted
            if self._read < wanted:
                await self._read_changes()
                self._read = wanted

    async def settle(self) -> None:
        """Read the Change rows whatever the watch says: for who just wrote and answers with the effect."""
        self._wanted += 1
        await self.catch_up()

    async def _read_changes(self) -> None:
        while changes := await self._changes():
            for change in changes:
                if change.scope is not None and change.repository_id is not None:
                    ids = (change.repository_id, *self.estate.around(change.repository_id))
                    self.context.hot.drop(ids, (change.scope,))
            if any(change.scope is None for change in changes):
                await self.reload()
            self._seen = changes[-1].seq

    async def _changes(self) -> Sequence[Change]:
        found = self._watch.since(self._seen)
        return await self.context.catalog.changes.since(self._seen) if found is None else found

    async def reload(self) -> None:
        """Make new snapshots from the catalog; what cannot be built leaves the old ones in force."""
        try:
            self.access, self.estate, self.context = await self._rebuild()
            self.quick = Quick(self.context)
        except SettingsError as error:
            log.error("the new configuration cannot be used; the old one stays", reason=error.message)

    def specs(self) -> Sequence[RepositorySpec]:
        """Every repository's configuration."""
        return self.estate.specs

    def close(self) -> None:
        """Close the watching connection."""
        self._watch.close()
