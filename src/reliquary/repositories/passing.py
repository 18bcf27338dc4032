"""The shelf of a proxy: reads, and questions passed on to its upstreams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from reliquary.errors import NotHere, Unavailable, WrongMethod
from reliquary.formats.base import FileKey
from reliquary.formats.verbs import Received, Reply
from reliquary.repositories import rules
from reliquary.repositories.base import ALONE, Company, Permit
from reliquary.repositories.context import Context
from reliquary.repositories.looking import LookingShelf, known
from reliquary.types import NOTHING, Entry, Verdict
from reliquary.upstream.base import Document

if TYPE_CHECKING:
    from reliquary.repositories.proxy import Proxy

FORWARDED = 33_554_432
"""Bytes that a passed-on upstream answer may have."""
PATIENCE = 5.0
"""Seconds that a question waits for its turn."""


class ProxyShelf(LookingShelf):
    """Implements `reliquary.formats.verbs.Shelf` for a proxy: reads, and questions passed on."""

    hosted = False

    def __init__(
        self,
        repository: Proxy,
        context: Context,
        publisher: str | None,
        permit: Permit,
        company: Company = ALONE,
    ) -> None:
        super().__init__(repository, context, publisher, permit, company)
        self._proxy = repository

    def _shows(self, name: str) -> bool:
        # What a group keeps for its own members is not taken from a proxy, whatever that knows of it.
        kept = rules.verdict(self._company.screen, name) is Verdict.OWNED
        return not kept and super()._shows(name) and rules.admits(self._spec.rules, name)

    async def _shown(self, names: set[str]) -> set[str]:
        shown = {name for name in names if self._shows(name)}
        for group in self._company.groups:
            shown = await group.open(shown)
        return shown

    async def offered(self, names: set[str]) -> set[str]:
        return await self._shown(names) | await super().offered(names)

    async def entries(self, name: str) -> Sequence[Entry]:
        for page in self._proxy.format.pages(name):
            await self._proxy.settle(page)
        return [known(row) for row in await self._proxy.rows(name)]

    async def _entry(self, key: FileKey) -> Entry | None:
        for page in self._proxy.format.pages(key.scope):
            try:
                await self._proxy.settle(page)
            except NotHere:
                return None
        row = await self._proxy.known(key)
        return known(row) if row is not None else None

    async def properties(self, name: str) -> Mapping[str, str]:
        """What the settled page says of the package, too."""
        said: dict[str, str] = {}
        for page in self._proxy.format.pages(name):
            said |= await self._proxy.said(page)
        return {**await super().properties(name), **said}

    async def _pass_on(
        self, path: str, headers: Mapping[str, str], body: bytes | None = None, *, aside: bool = False
    ) -> Reply:
        """Ask each upstream in turn.

        Args:
            aside: one that has nothing at such an address is not asked there again for a while.
        """
        proxy, about = self._proxy, path.partition("?")[0]
        if not aside:
            return await self._put_to(path, headers, body)
        if proxy.unanswered.get(about, 0.0) > self._context.monotonic():
            raise NotHere(f"the upstream of {self._spec.title} has just not answered {about}")
        try:
            return await self._put_to(path, headers, body, aside=True)
        except NotHere:
            if len(proxy.unanswered) > 1000:
                proxy.unanswered.clear()
            proxy.unanswered[about] = self._context.monotonic() + self._context.limits.negative_life
            raise

    async def _put_to(self, path: str, headers: Mapping[str, str], body: bytes | None, *, aside: bool = False) -> Reply:
        sent = {name: value for name, value in headers.items() if name == "accept"}
        for upstream in self._proxy.upstreams:
            url: str | None = None
            with suppress(NotHere):
                url = self._format.question(path, upstream.base, await self._proxy.told(upstream))
            if url is None:
                continue
            await self._keep_pace()
            outcome = await upstream.fetch(url, headers=sent, limit=FORWARDED, body=body, aside=aside)
            if isinstance(outcome, Document):
                kind = outcome.headers.get("content-type", "application/octet-stream")
                return Reply(200, outcome.body, kind)
        raise NotHere(f"the upstream of {self._spec.title} has no {path}")

    async def _keep_pace(self) -> None:
        """Wait for this question's turn, where upstreams ask for a pace; raises Unavailable for a long queue."""
        pace, now = self._format.pace, self._context.monotonic()
        if not pace:
            return
        turn = max(now, self._proxy.next_question)
        if turn - now > PATIENCE:
            raise Unavailable(
                f"too many questions wait for the upstream of {self._spec.title}; ask again", retry_after=5
            )
        self._proxy.next_question = turn + pace
        await asyncio.sleep(turn - now)

    def _refuse(self) -> WrongMethod:
        return WrongMethod(f"{self._spec.title} is a proxy: it takes no publishing")

    async def set_properties(self, name: str, values: Mapping[str, str | None]) -> None:
        raise self._refuse()

    async def receive(
        self, chunks: AsyncIterator[bytes], *, algorithms: Sequence[str] = (), limit: int | None = None
    ) -> Received:
        raise self._refuse()

    async def add(
        self,
        additions: Sequence[tuple[Entry, Received | bytes]],
        *,
        exclusive: bool = True,
        replace: bool = False,
        properties: Mapping[str, str | None] = NOTHING,
        defaults: Mapping[str, str] = NOTHING,
    ) -> bool:
        raise self._refuse()

    async def update(
        self, entries: Sequence[Entry], action: str, *, properties: Mapping[str, str | None] = NOTHING
    ) -> None:
        raise self._refuse()

    async def remove(
        self,
        keys: Sequence[str],
        action: str = "remove",
        *,
        properties: Mapping[str, str | None] = NOTHING,
        clears: bool = False,
    ) -> int:
        raise self._refuse()
