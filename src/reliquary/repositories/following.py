"""Pages that follow an upstream: when they are fresh, and how they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import structlog

from reliquary.catalog.records import Touched
from reliquary.errors import Malformed, NotHere, Unavailable
from reliquary.formats.base import FileKey, Format, PageKey, Reading, Source
from reliquary.repositories import rules
from reliquary.repositories.absorb import Absorption
from reliquary.repositories.base import Freshness
from reliquary.repositories.context import Context
from reliquary.repositories.flight import turn
from reliquary.repositories.lists import Held
from reliquary.repositories.projection import Projection
from reliquary.types import RepositorySpec, UpstreamState
from reliquary.upstream.base import Document, Missing, Unchanged, Upstream, Validators

log = structlog.get_logger("reliquary.proxy")
AGAIN = 10.0
"""Seconds a page that could not be confirmed is served before the upstream is asked again."""
REMEMBERED = 1000
"""Pages that lag behind that are remembered at a time."""
LAG = 3600.0
"""Seconds that an upstream's older document does not replace a newer one."""
NEVER = datetime.min.replace(tzinfo=UTC)


class Following(Projection):
    """The page side of a proxy.

    Args:
        upstreams: where to ask, in order; the first that has a name answers. Empty or an
            ``offline`` option: what is not stored is certainly not here.
        groups: ids of the groups around it, whose pages change with it.
    """

    def __init__(
        self,
        spec: RepositorySpec,
        format: Format,
        context: Context,
        upstreams: Sequence[Upstream] = (),
        groups: Sequence[int] = (),
    ) -> None:
        super().__init__(spec, format, context)
        self._upstreams = () if spec.options.get("offline") else tuple(upstreams)
        self._groups = tuple(groups)
        self._fresh: dict[str, Freshness] = {}
        self._missing: dict[str, float] = {}
        self._lagging: dict[str, float] = {}

    @property
    def upstreams(self) -> Sequence[Upstream]:
        """Where to ask, in order."""
        return self._upstreams

    @property
    def groups(self) -> tuple[int, ...]:
        """Ids of the groups around it."""
        return self._groups

    def life(self, key: PageKey | FileKey) -> float:
        """Seconds an answer of the upstream counts as fresh."""
        most = self._format.manner(key).max_age
        return min(float(self._spec.options.get("page_life", self._context.limits.page_life)), most)

    def admit(self, name: str) -> None:
        """Raise NotHere for a name that the rules keep from this proxy."""
        if name and not rules.admits(self._spec.rules, name):
            raise NotHere(f"{name} is not taken from {self._spec.title}: a rule forbids it", code="rule")

    async def settle(self, key: PageKey) -> Freshness:
        self.admit(key.name)
        now = self._context.monotonic()
        known = self._fresh.get(key.path)
        if known is not None and now < known.until:
            return known
        if self._missing.get(key.path, 0.0) > now:
            raise NotHere(f"the upstream of {self._spec.title} has no {key.name or key.path}")
        state = await self._context.catalog.pages.state(self._spec.id, key.path)
        freshness = await self._settle(key, state)
        if len(self._fresh) > 20_000:
            self._fresh.clear()
        self._fresh[key.path] = freshness
        return freshness

    async def look_again(self, key: PageKey) -> None:
        """A file is asked for that the settled page does not list: it may have come since, so ask
        the upstream, unless it was asked a moment ago. Raises NotHere, Unavailable."""
        state = await self._context.catalog.pages.state(self._spec.id, key.path)
        if state is None or not self._upstreams:
            return
        if (self._context.now() - state.checked_at).total_seconds() > self._context.limits.negative_life:
            await self.refresh(key, state.checked_at)

    async def _settle(self, key: PageKey, state: UpstreamState | None) -> Freshness:
        now, life = self._context.monotonic(), self.life(key)
        if not self._upstreams:
            if state is None or state.status != 200:
                raise NotHere(f"{self._spec.title} has no {key.name or key.path} and asks no upstream")
            return Freshness(now + life)
        if state is None or (state.status != 200 and state.gone_at is None):
            await self.refresh(key, state.checked_at if state else NEVER)
            return Freshness(now + life)
        age = (self._context.now() - state.checked_at).total_seconds()
        if self._prompt(key):
            return await self._settle_promptly(key, state, age)
        if not self._current(key, state):
            # Another upstream was configured since: what the old one said may lead nowhere.
            fresh = await self._refresh_quietly(key, state.checked_at)
            return Freshness(now + life) if fresh else Freshness(now + AGAIN, stale=True)
        if 0 <= age < life:
            return Freshness(now + life - age, stale=state.gone_at is not None)
        if age < life + self._context.limits.stale_for:
            self._context.later(self._refresh_quietly(key, state.checked_at))
            return Freshness(now + AGAIN, stale=True)
        if not await self._refresh_quietly(key, state.checked_at):
            return Freshness(now + AGAIN, stale=True)
        return self._fresh.get(key.path, Freshness(now + life))

    async def _settle_promptly(self, key: PageKey, state: UpstreamState, age: float) -> Freshness:
        """Settle a page whose readers want what the upstream says now: past its age it is confirmed first, and one that
        is gone is gone, unless it lasts. Raises NotHere, and Unavailable where nothing older is kept."""
        now, life = self._context.monotonic(), self.life(key)
        known = 0 <= age < life and self._current(key, state)
        if not known:
            try:
                await self.refresh(key, state.checked_at)
            except Unavailable as error:
                log.warning("page is stale", repository=self._spec.title, page=key.path, reason=error.message)
                life, age = AGAIN, 0.0
            else:
                return self._fresh.get(key.path, Freshness(now + life))
        if state.gone_at is not None and self._goes(key):
            raise self._no_longer(key)
        return Freshness(now + life - age, stale=not known or state.gone_at is not None)

    async def _refresh_quietly(self, key: PageKey, seen: datetime) -> bool:
        """Refresh; False when the upstream did not tell and what we have stays."""
        try:
            await self.refresh(key, seen)
        except Unavailable as error:
            log.warning("page is stale", repository=self._spec.title, page=key.path, reason=error.message)
            return False
        except NotHere:
            return True
        return True

    async def refresh(self, key: PageKey, seen: datetime | None = None) -> None:
        """Ask the upstream for a page now; raises NotHere, Unavailable.

        Args:
            seen: when the upstream had last confirmed it, as far as the asker knows; another
                process's later look is taken instead of a request. None: now.
        """
        known = seen or self._context.now()
        await self._context.flights.join(("page", self._spec.id, key.path), lambda: self._in_turn(key, known))

    async def _in_turn(self, key: PageKey, seen: datetime) -> None:
        async with turn(self._context.data, f"{self._spec.id}/{key.path}"):
            state = await self._context.catalog.pages.state(self._spec.id, key.path)
            if state is not None and state.status == 200 and seen < state.checked_at <= self._context.now():
                if state.gone_at is not None and self._goes(key):
                    raise self._no_longer(key)
                self._remember(key, stale=state.gone_at is not None)
            else:
                await self._refresh(key, state)

    async def _refresh(self, key: PageKey, state: UpstreamState | None) -> None:
        # A document that was lost is fetched whole: "unchanged" would be of no use.
        known = state if state is not None and await self._context.lists.have(state.body) else None
        for upstream in self._upstreams:
            url = self._format.locate(key, upstream.base)
            if url is None:
                continue
            self._context.count("upstream_pages")
            outcome = await upstream.fetch(url, headers=self._format.ask(key), validators=_validators(known, url))
            if isinstance(outcome, Missing):
                continue
            if isinstance(outcome, Unchanged):
                if known is None:
                    raise Unavailable("the upstream answered 304 to a request without validators")
                await self._confirm(key, known)
            else:
                await self._take(key, state, url, outcome)
            return
        await self._gone(key, state)

    async def _confirm(self, key: PageKey, state: UpstreamState) -> None:
        fresh = replace(state, checked_at=self._context.now(), gone_at=None)
        touched, back = self._touched(key), self._was_gone(key, state)
        await self._context.catalog.pages.confirm(self._spec.id, fresh, touched, back=back)
        self._remember(key)

    def _was_gone(self, key: PageKey, state: UpstreamState | None) -> bool:
        """Whether pages were rendered without what the upstream has again."""
        return state is not None and state.gone_at is not None and self._goes(key)

    async def _take(self, key: PageKey, state: UpstreamState | None, url: str, document: Document) -> None:
        """A new document: read whole before it replaces anything."""
        source = Source(document.url, document.content_type, document.body, document.headers)
        now = self._context.now()
        fresh = UpstreamState(
            path=key.path,
            url=url,
            status=200,
            checked_at=now,
            etag=document.validators.etag,
            modified=document.validators.modified,
            body=await self._context.lists.keep(source),
            since=(state.since if state is not None else None) or now,
        )
        if state is not None and state.status == 200 and state.body == fresh.body:
            await self._confirm(key, replace(fresh, gone_at=state.gone_at))
            return
        held = await self._context.lists.read(source, partial(self.read, key))
        earlier = await self.held(key, state)
        if state is not None and earlier is not None and self._lags(key, held, earlier):
            log.warning("upstream sent an older page", repository=self._spec.title, page=key.path)
            await self._confirm(key, state)
            return
        absorption = Absorption(self._spec.title, self._format, held, earlier, now)
        await self._context.catalog.files.sync(
            self._spec.id,
            key.scope,
            absorption.renew,
            properties={key.name: dict(held.reading.properties)} if key.name else {},
            state=fresh,
            touched=self._touched(key),
            now=now,
            changed=absorption.changed or self._was_gone(key, state),
        )
        self._context.lists.remember(self._spec.id, key.path, fresh.body or "", held)
        self._remember(key)

    def _lags(self, key: PageKey, new: Held, known: Held) -> bool:
        """Whether a document is an earlier one than is kept: a node of the upstream is behind the others. What stays
        so for an hour is the upstream's will."""
        fresh, kept = new.reading.dated, known.reading.dated
        if fresh is None or kept is None or fresh >= kept or kept > self._context.now():
            self._lagging.pop(key.path, None)
            return False
        if len(self._lagging) > REMEMBERED:
            self._lagging.clear()
        return self._context.monotonic() - self._lagging.setdefault(key.path, self._context.monotonic()) < LAG

    async def _gone(self, key: PageKey, state: UpstreamState | None) -> None:
        """Every upstream says it has no such page: an outage for a root, else an answer."""
        if key.children == "" and not key.scope:
            raise Unavailable(f"the upstream of {self._spec.title} has no list at its root")
        if state is not None and state.status == 200:
            gone = replace(state, checked_at=self._context.now(), gone_at=state.gone_at or self._context.now())
            # The pages of groups, which other members still have, were rendered with what is gone now.
            touched = self._touched(key) if self._goes(key) and state.gone_at is None else None
            await self._context.catalog.pages.set_state(self._spec.id, gone, touched)
            log.warning("upstream no longer has it", repository=self._spec.title, page=key.path)
            self._remember(key, stale=True)
            if self._goes(key):
                self._fresh.pop(key.path, None)
                raise self._no_longer(key)
            return
        now = self._context.monotonic()
        if len(self._missing) > 20_000:
            self._missing.clear()
        self._missing[key.path] = now + self._context.limits.negative_life
        raise NotHere(f"the upstream of {self._spec.title} has no {key.name or key.path}")

    def _remember(self, key: PageKey, *, stale: bool = False) -> None:
        """The upstream just told: what said otherwise is forgotten, here and in the groups."""
        self._missing.pop(key.path, None)
        self._fresh[key.path] = Freshness(self._context.monotonic() + self.life(key), stale)
        self._context.hot.drop((self._spec.id, *self._groups), (key.scope,))

    def _touched(self, key: PageKey) -> Touched:
        return Touched(scopes=(key.scope,), groups=self._groups)

    def _goes(self, key: PageKey) -> bool:
        """Whether what its upstream takes away is gone here."""
        manner = self._format.manner(key)
        return manner.prompt and not manner.lasting

    def _prompt(self, key: PageKey) -> bool:
        return self._format.manner(key).prompt

    def _no_longer(self, key: PageKey) -> NotHere:
        return NotHere(f"the upstream of {self._spec.title} no longer has {key.name or key.path}")

    def _current(self, key: PageKey, state: UpstreamState) -> bool:
        """Whether what is kept of a page came from an upstream that is still asked."""
        return any(self._format.locate(key, upstream.base) == state.url for upstream in self._upstreams)

    async def held(self, key: PageKey, state: UpstreamState | None) -> Held | None:
        """What the kept document of a page lists; None where there is none."""
        if state is None or state.body is None:
            return None
        return await self._context.lists.held(self._spec.id, key.path, state.body, partial(self.read, key))

    async def _held(self, key: PageKey) -> Held | None:
        """What the settled page lists; a document that was lost is fetched again. Raises Unavailable."""
        pages = self._context.catalog.pages
        state = await pages.state(self._spec.id, key.path)
        if state is not None and state.gone_at is not None and self._goes(key):
            raise self._no_longer(key)
        held = await self.held(key, state)
        if held is None and state is not None and state.status == 200 and self._upstreams:
            log.warning("a kept page was lost", repository=self._spec.title, page=key.path)
            await pages.set_state(self._spec.id, replace(state, body=None))
            await self.refresh(key)
            held = await self.held(key, await pages.state(self._spec.id, key.path))
        return held

    def read(self, key: PageKey, source: Source, file: FileKey | None = None) -> Reading:
        """The format's reading of a document; Unavailable where it is not what was asked for."""
        try:
            return self._format.read(key, source, file)
        except Malformed as error:
            raise Unavailable(f"the upstream of {self._spec.title} sent no usable page: {error.message}") from error


def _validators(state: UpstreamState | None, url: str) -> Validators | None:
    if state is None or state.status != 200 or state.url != url or not (state.etag or state.modified):
        return None
    return Validators(state.etag, state.modified)
