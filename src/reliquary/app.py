"""Builds the long-lived objects once, from one frozen Settings; holds the few routes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from starlette.types import ASGIApp

from reliquary.access.may import Access
from reliquary.access.passwords import Passwords
from reliquary.blobs.disk import DiskStore
from reliquary.blobs.fill import Fills
from reliquary.catalog.engine import Catalog
from reliquary.errors import ReliquaryError
from reliquary.formats.base import Format
from reliquary.formats.registry import formats
from reliquary.jobs.gc import finish_interrupted
from reliquary.jobs.runner import Runner
from reliquary.repositories.build import Estate, build
from reliquary.repositories.context import Context, Limits
from reliquary.repositories.flight import clean
from reliquary.repositories.hot import HotMap
from reliquary.settings import Settings
from reliquary.types import Remote, RepositorySpec
from reliquary.upstream.http import HttpUpstream
from reliquary.upstream.policy import Outgoing, UpstreamPolicy
from reliquary.web.identity import Trust
from reliquary.web.pages import pages
from reliquary.web.request import Request, Scope
from reliquary.web.serve import Serve
from reliquary.web.state import State
from reliquary.web.tally import Tally

log = structlog.get_logger("reliquary.app")
PACKAGES = b"packages"
"""Every package address stands below this one too: mirrors ask for files there and nowhere else."""
STALE = 86_400.0
"""Seconds after which a temporary file of an upload is nobody's: no process works that long."""


@dataclass
class Dialer:
    """Clients of upstreams, kept over changes of the configuration as long as they are the same."""

    settings: Settings
    outgoing: Outgoing = field(default_factory=Outgoing)
    clients: dict[tuple[Remote, bool], HttpUpstream] = field(default_factory=dict)

    def dial(self, remote: Remote, spec: RepositorySpec) -> HttpUpstream:
        """The client of one upstream."""
        forbidden = bool(spec.options.get("forbidden_is_missing", False))
        if (remote, forbidden) not in self.clients:
            policy = UpstreamPolicy(
                connect_timeout=self.settings.connect_timeout,
                read_timeout=self.settings.read_timeout,
                minimum_rate=self.settings.minimum_rate,
                retries=self.settings.retries,
                private_addresses=self.settings.upstream_private,
                forbidden_is_missing=forbidden,
            )
            self.clients[remote, forbidden] = HttpUpstream(remote, policy, outgoing=self.outgoing)
        return self.clients[remote, forbidden]

    async def close(self) -> None:
        """Close every client."""
        for client in self.clients.values():
            await client.close()


@dataclass
class World:
    """Everything a process works with, on an open data folder. ``base`` outlives configurations."""

    settings: Settings
    formats: Mapping[str, Format]
    base: Context
    state: State
    dialer: Dialer
    store: DiskStore

    @property
    def context(self) -> Context:
        """The context of the configuration that is in force."""
        return self.state.context

    async def close(self) -> None:
        """End what runs, flush what is counted, close what is open."""
        await self.context.fills.close()
        if self.context.tasks:
            await asyncio.wait(self.context.tasks, timeout=5)
        await flush(self.context)
        await self.dialer.close()
        self.state.close()
        await self.context.catalog.close()


async def flush(context: Context) -> None:
    """Write the downloads and the last-used times of files and tokens that requests left behind."""
    stamps, downloads = dict(context.used), dict(context.downloads)
    context.used.clear()
    context.downloads.clear()
    tokens = dict(context.tokens_used)
    context.tokens_used.clear()
    with contextlib.suppress(ReliquaryError):
        if tokens:
            await context.catalog.accounts.token_used(tokens)
    try:
        await context.catalog.files.used(stamps, downloads)
    except Exception as error:
        # A time is soon replaced by a later one; a count would be lost.
        for at, times in downloads.items():
            context.downloaded(*at, times)
        if not isinstance(error, ReliquaryError):
            raise


async def open_world(settings: Settings, outgoing: Outgoing | None = None) -> World:
    """Open a prepared data folder.

    Raises:
        SettingsError: the database is not of this program's schema.
    """
    known = formats()
    catalog = await Catalog.open(settings.database)
    store = DiskStore(settings.data)
    await store.prepare()
    limits = Limits(
        page_life=settings.page_life,
        stale_for=settings.stale_for,
        negative_life=settings.negative_life,
        reserve=settings.reserve,
        upload_limit=settings.upload_limit,
        public_url=settings.public_url,
    )
    await store.clean(STALE)
    fills = Fills(settings.data, store)
    await fills.clean()
    await asyncio.to_thread(clean, settings.data)
    base = Context(catalog, store, fills, HotMap(0), limits, settings.data)
    dialer = Dialer(settings, outgoing or Outgoing())
    passwords = Passwords()

    async def rebuild() -> tuple[Access, Estate, Context]:
        built = await catalog.changes.latest()
        specs = await catalog.repositories.all()
        access = Access(await catalog.accounts.snapshot(), specs, passwords)
        if settings.offline:
            specs = [without_upstreams(spec) for spec in specs]
        context = replace(base, hot=HotMap(settings.hot_pages), built=built)
        estate = build(specs, known, context, dialer.dial, access.readable_by_all_readers_of)
        return access, estate, context

    seen = await catalog.changes.latest()
    access, estate, context = await rebuild()
    trust = Trust(settings.trusted_proxies, tuple(host.lower() for host in settings.allowed_hosts), settings.public_url)
    state = State(context, known, trust, catalog.changes.watch(), access, estate, rebuild, seen)
    return World(settings, known, base, state, dialer, store)


def without_upstreams(spec: RepositorySpec) -> RepositorySpec:
    """The same repository, asking nobody."""
    return replace(spec, remotes=())


@dataclass
class Live:
    """What exists between start and stop."""

    world: World
    serve: Serve
    pages: ASGIApp
    runner: Runner
    tally: Tally


class App:
    """The ASGI application: package addresses go to `Serve` at once, the rest through Starlette.

    Args:
        settings: of this start; the data folder is prepared already.
        figures: where this worker's counters are written for the others; None: there are none.
    """

    def __init__(self, settings: Settings, outgoing: Outgoing | None = None, figures: Path | None = None) -> None:
        self._settings = settings
        self._figures = figures
        self._outgoing = outgoing
        self._formats: Mapping[bytes, Format] = {name.encode(): format for name, format in formats().items()}
        self._live: Live | None = None

    @property
    def live(self) -> Live:
        """What was started; raises RuntimeError before the start."""
        if self._live is None:
            raise RuntimeError("the application was not started")
        return self._live

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def find(self, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        """A whole answer that is ready for a GET, or None; never waits for anything."""
        if self._live is None:
            return None
        state = self._live.world.state
        return None if state.behind() else state.quick.find(target, headers)

    async def _http(self, scope: Scope, receive: Any, send: Any) -> None:
        live = self.live
        state = live.world.state
        if state.behind():
            try:
                await state.catch_up()
            except ReliquaryError as error:
                log.warning("changes could not be read; answering with what is known", reason=error.message)
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        root = scope.get("root_path", "").encode()
        if root and raw.startswith(root):
            raw = raw[len(root) :]
        first, slash, rest = raw[1:].partition(b"/")
        if first == PACKAGES:
            first, slash, rest = rest.partition(b"/")
        format = self._formats.get(first) if slash else None
        if format is None:
            await live.pages(scope, receive, send)
        else:
            await live.serve(Request(scope, receive, send, utc_now), format, rest)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.start()
                except ReliquaryError as error:
                    await send({"type": "lifespan.startup.failed", "message": error.message})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def start(self) -> None:
        """Open the data folder and begin the jobs."""
        world = await open_world(self._settings, self._outgoing)
        # Before anybody asks: a sweep that was killed may hold a blob that a row names by now.
        await finish_interrupted(world.context, self._settings.gc_grace)
        tally = Tally(world.state, self._figures)
        runner = Runner(world.state, self._settings, flush=lambda: flush(world.context), tell=tally.write)
        self._live = Live(world, Serve(world.state), pages(world.state, self._settings, tally), runner, tally)
        runner.start()

    def stopping(self) -> None:
        """A stop is under way: answers end, but no more are to be sent here."""
        if self._live is not None:
            self._live.world.state.ready = False

    async def stop(self) -> None:
        """Let what is under way end, then close."""
        if self._live is not None:
            live, self._live = self._live, None
            live.world.state.ready = False
            await live.runner.stop()
            await live.world.close()
            live.tally.write(last=True)


def utc_now() -> datetime:
    """The time, timezone-aware."""
    return datetime.now(UTC)
