"""The HTTP upstream: with `upstream.wire` the only place where Reliquary is an HTTP client.

One client per upstream, HTTP/1.1, redirects followed here and judged hop by hop, addresses judged
where they are dialled, nothing of a caller's request passed on but what the allow-list names.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import re
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import httpcore2
import httpx2

from reliquary.errors import SettingsError, Unavailable
from reliquary.types import Remote
from reliquary.upstream.addresses import AddressRefused, Guard, Resolve, lookup
from reliquary.upstream.base import Answer, Document, Missing, Unchanged, Validators
from reliquary.upstream.breaker import Breaker, Budget
from reliquary.upstream.fetch import (
    CODINGS,
    Body,
    Outcome,
    Pace,
    Question,
    Transient,
    check_part,
    conclude,
    kept,
    length,
    question,
    seconds_to_wait,
    validators_of,
)
from reliquary.upstream.names import Names
from reliquary.upstream.policy import Outgoing, UpstreamPolicy
from reliquary.upstream.wire import ERRORS, CountingStream, Transport, explain, origin, port_of, quiet_client

T = TypeVar("T")

REDIRECTS = frozenset({301, 302, 303, 307, 308})
SCRAP = 65_536
HOSTS = 256

log = logging.getLogger("reliquary.upstream")


@dataclass(frozen=True, slots=True)
class Exchange:
    """An answer's head, and where it came from after redirects."""

    response: httpx2.Response
    target: httpx2.URL
    headers: Mapping[str, str]
    host: Breaker

    @property
    def size(self) -> int | None:
        """Announced bytes, or None; raises Unavailable when the announcement contradicts itself."""
        announced = length(self.headers)
        if announced is not None and "transfer-encoding" in self.response.headers:
            raise Unavailable("the upstream announced a length and sent chunks (RFC 9112 section 6.1)")
        return announced

    def surplus(self, expected: int) -> bool:
        """Whether more than ``expected`` bytes came; then the connection is not used again."""
        stream = self.response.extensions.get("network_stream")
        if not isinstance(stream, CountingStream) or stream.received <= expected:
            return False
        stream.spoil()
        return True

    async def drain(self) -> None:
        """Read a body that nobody wants, if it is short, so that the connection can be used again."""
        total = 0
        with suppress(*ERRORS):
            async with asyncio.timeout(2), aclosing(self.response.aiter_raw()) as chunks:
                async for chunk in chunks:
                    total += len(chunk)
                    if total > SCRAP:
                        return
        if "transfer-encoding" not in self.response.headers:
            self.surplus(total)


@dataclass(frozen=True, slots=True)
class Download:
    """An answer whose body is still to come."""

    status: int
    url: str
    headers: Mapping[str, str]
    size: int | None
    exchange: Exchange
    read: Callable[[Exchange], AsyncGenerator[bytes, None]]
    empty: bool

    async def chunks(self) -> AsyncIterator[bytes]:
        """The raw bytes; see `Answer.chunks`."""
        if not self.empty:
            async with aclosing(self.read(self.exchange)) as chunks:
                async for chunk in chunks:
                    yield chunk


USUAL = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.-]*+(?::[0-9]{1,5})?/[A-Za-z0-9._~%+!/-]*+")
"""An absolute address without credentials, query and fragment."""


def _target(url: str, base: httpx2.URL) -> httpx2.URL:
    """An address seen from another, without credentials and fragment. The library reads an address anew in each
    step, which costs more than the rest of what is asked of it; the usual address needs none."""
    return httpx2.URL(url) if USUAL.fullmatch(url) else base.join(url).copy_with(userinfo=b"", fragment=None)


def split(remote: Remote) -> tuple[httpx2.URL, str | None]:
    """The base with a final slash and without credentials, and the Authorization header (RFC 7617); raises
    SettingsError for what is no http or https address."""
    try:
        url = httpx2.URL(remote.url)
    except httpx2.InvalidURL:
        raise SettingsError("an upstream's address cannot be read") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError("an upstream's address must begin with http:// or https:// and name a host")
    user, password = remote.username or url.username, remote.password or url.password
    path = url.path if url.path.endswith("/") else f"{url.path}/"
    base = url.copy_with(userinfo=b"", path=path, query=None, fragment=None)
    if not user and not password:
        return base, None
    return base, "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class HttpUpstream:
    """One configured base, over HTTP.

    Args:
        remote: the base and its credentials, which go to its own origin only.
        policy: patience and limits.
        outgoing: proxies and certificate authorities of this machine.
        resolve: looks names up.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        remote: Remote,
        policy: UpstreamPolicy | None = None,
        *,
        outgoing: Outgoing | None = None,
        resolve: Resolve = lookup,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy = policy or UpstreamPolicy()
        outgoing = outgoing or Outgoing()
        self._clock = clock
        self._base, self._credentials = split(remote)
        host, port = self._base.raw_host.decode("ascii"), port_of(self._base)
        self._guard = Guard(
            host,
            port,
            resolve=Names(resolve, clock),
            private=policy.private_addresses,
            proxied=outgoing.proxy(self._base.scheme, host, port) is not None,
        )
        self._hosts: OrderedDict[tuple[str, bytes, int], Breaker] = OrderedDict()
        self._budget = Budget(policy.retry_budget)
        self._client = quiet_client(Transport(self._guard, policy, outgoing), policy)

    def __repr__(self) -> str:
        return f"HttpUpstream({self.base!r})"

    @property
    def base(self) -> str:
        """Its address, with a final slash, without credentials."""
        return str(self._base)

    async def fetch(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        validators: Validators | None = None,
        limit: int = 268_435_456,
        body: bytes | None = None,
        aside: bool = False,
    ) -> Document | Unchanged | Missing:
        """Get a whole document; see `upstream.base.Upstream.fetch`."""
        method = "GET" if body is None else "POST"
        agent = self._policy.user_agent
        asked = question(method, headers, validators, CODINGS, agent, whole=True, body=body, aside=aside)
        if aside:
            return await self._document(url, asked, limit)
        return await self._persist(lambda: self._document(url, asked, limit))

    @asynccontextmanager
    async def open(
        self, url: str, *, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> AsyncIterator[Answer | Unchanged | Missing]:
        """Begin a download or a HEAD; see `upstream.base.Upstream.open`. A Range is passed on."""
        asked = question(method, headers, None, "identity", self._policy.user_agent)
        stack, answer = await self._persist(lambda: self._download(url, asked))
        async with stack:
            yield answer

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def _document(self, url: str, asked: Question, limit: int) -> Document | Unchanged | Missing:
        async with self._exchange(url, asked) as exchange:
            outcome = await self._conclude(exchange, asked)
            if outcome is not Outcome.HERE:
                return Unchanged() if outcome is Outcome.UNCHANGED else Missing()
            if (exchange.size or 0) > limit:
                raise Unavailable(f"the upstream announced a document of more than {limit} bytes")
            body = Body(exchange.headers.get("content-encoding", ""), limit, self._policy.max_ratio)
            async with aclosing(self._read(exchange)) as chunks:
                async for chunk in chunks:
                    body.add(chunk)
            whole = body.end()
            return Document(str(exchange.target), exchange.headers, whole, validators_of(exchange.headers))

    async def _download(self, url: str, asked: Question) -> tuple[AsyncExitStack, Answer | Unchanged | Missing]:
        async with AsyncExitStack() as stack:
            exchange = await stack.enter_async_context(self._exchange(url, asked))
            outcome = await self._conclude(exchange, asked)
            if outcome is not Outcome.HERE:
                return stack.pop_all(), Unchanged() if outcome is Outcome.UNCHANGED else Missing()
            if exchange.headers.get("content-encoding", "identity").lower() != "identity":
                raise Unavailable("the upstream sent a coded file although the plain bytes were asked for")
            status = exchange.response.status_code
            if status == 206:
                check_part(asked.headers["range"], exchange.headers)
            empty = asked.method == "HEAD"
            if empty:
                await exchange.drain()
            answer = Download(
                status, str(exchange.target), exchange.headers, exchange.size, exchange, self._read, empty
            )
            return stack.pop_all(), answer
        raise AssertionError("an exit stack swallows nothing")

    async def _read(self, exchange: Exchange) -> AsyncGenerator[bytes, None]:
        """The body's raw bytes, judged by pace and announced length."""
        size, received = exchange.size, 0
        pace = Pace(self._policy.minimum_rate, self._policy.rate_window)
        longest = max(self._policy.read_timeout, self._policy.rate_window)
        name = exchange.target.host
        async with aclosing(exchange.response.aiter_raw()) as chunks:
            while True:
                began = self._clock()
                try:
                    async with asyncio.timeout(longest):
                        chunk = await anext(chunks, b"")
                except ERRORS as problem:
                    exchange.host.fail()
                    raise Transient(f"the upstream {name} {explain(problem)}") from problem
                if not chunk:
                    break
                received += len(chunk)
                # Only the time spent waiting counts: a slow client is not the upstream's fault.
                if pace.slow(self._clock() - began, len(chunk)):
                    exchange.host.fail()
                    raise Transient(f"the upstream {name} sends too slowly")
                yield chunk
        if size is not None and (received != size or exchange.surplus(size)):
            raise Transient(f"the upstream {name} sent another number of bytes than it announced")

    @asynccontextmanager
    async def _exchange(self, url: str, asked: Question) -> AsyncIterator[Exchange]:
        """Ask, following redirects; the connection is given back at the end."""
        target = await self._admit(url, None)
        for _ in range(self._policy.max_redirects + 1):
            host = self._host(target)
            response = await self._send(host, asked, target)
            headers = kept(response.headers.multi_items(), self._policy.answer_headers)
            exchange = Exchange(response, target, headers, host)
            location = response.headers.get("location")
            try:
                if response.status_code not in REDIRECTS or location is None:
                    yield exchange
                    return
                await exchange.drain()
            finally:
                with suppress(*ERRORS):
                    await response.aclose()
            target = await self._admit(location, target)
        raise Unavailable(f"the upstream {self._base.host} redirects without end")

    async def _admit(self, url: str, previous: httpx2.URL | None) -> httpx2.URL:
        """Judge an address, and drop the credentials that somebody may have written into it."""
        try:
            target = _target(url, previous or self._base)
        except (httpx2.InvalidURL, ValueError):
            raise AddressRefused("the upstream named an address that cannot be read") from None
        downgrade = previous is not None and previous.scheme == "https" and target.scheme != "https"
        if target.scheme not in ("http", "https") or not target.host or downgrade:
            raise AddressRefused(
                f"the upstream named an address of scheme {target.scheme[:20]!r}, which is not followed"
            )
        host, port = target.raw_host.decode("ascii"), port_of(target)
        try:
            async with asyncio.timeout(self._policy.connect_timeout):
                await self._guard.check(host, port)
        except OSError as problem:
            raise Transient(f"the upstream {self._base.host} cannot be looked up") from problem
        return target

    async def _send(self, host: Breaker, asked: Question, target: httpx2.URL) -> httpx2.Response:
        """One request to one host, its outcome told to the host's breaker."""
        headers = dict(asked.headers)
        if self._credentials is not None and origin(target) == origin(self._base):
            headers["authorization"] = self._credentials
        policy = self._policy
        if host.probing:
            # Refused now, a client would fail although the host may be there again.
            await host.probed(policy.cooldown)
        probe = host.enter()
        try:
            # A head that drips in byte by byte never lets a single read time out.
            async with asyncio.timeout(policy.pool_timeout + policy.connect_timeout + policy.read_timeout):
                request = httpx2.Request(asked.method, target, headers=headers, content=asked.body)
                response = await self._client.send(request, stream=True)
        except httpcore2.PoolTimeout:
            raise Unavailable(f"too much is being asked of the upstream {target.host} already") from None
        except ERRORS as problem:
            host.fail()
            raise Transient(f"the upstream {target.host} {explain(problem)}") from problem
        finally:
            if probe:
                host.leave()
        if response.status_code >= 500 and not asked.aside:
            host.fail()
        else:
            host.succeed()
        return response

    async def _conclude(self, exchange: Exchange, asked: Question) -> Outcome:
        """Read the status; what will not be read further is drained."""
        status, name = exchange.response.status_code, exchange.target.host
        wait = seconds_to_wait(exchange.headers.get("retry-after"), datetime.now(UTC), self._policy.longest_wait)
        missing = self._policy.forbidden_is_missing
        if status == 429 and wait:
            exchange.host.rest(wait)
        if status in (401, 403) and not (status == 403 and missing):
            log.error("the upstream %s refuses Reliquary with status %d: are its credentials right?", name, status)
        outcome = None
        try:
            outcome = conclude(status, asked, host=name, retry_after=wait, forbidden_is_missing=missing)
        finally:
            if outcome is not Outcome.HERE:
                await exchange.drain()
        return outcome

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again what may pass, a few times and within the budget."""
        tried = 0
        while True:
            try:
                found = await attempt()
            except Transient:
                if tried >= self._policy.retries or not self._budget.spend():
                    raise
            else:
                self._budget.earn()
                return found
            jitter = 0.5 + random.random()  # noqa: S311  # it spreads requests, it guards nothing
            await asyncio.sleep(self._policy.backoff * 2**tried * jitter)
            tried += 1

    def _host(self, target: httpx2.URL) -> Breaker:
        """The breaker of a host; those not asked for longest are forgotten."""
        key = origin(target)
        if key not in self._hosts:
            self._hosts[key] = Breaker(
                target.host,
                failures=self._policy.failures,
                cooldown=self._policy.cooldown,
                longest=self._policy.longest_cooldown,
                clock=self._clock,
            )
        self._hosts.move_to_end(key)
        while len(self._hosts) > HOSTS:
            self._hosts.popitem(last=False)
        return self._hosts[key]
