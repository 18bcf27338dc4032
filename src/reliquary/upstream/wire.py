"""The HTTP client library, as Reliquary uses it: pools that dial judged addresses only.

With `upstream.http` the only module that knows the library.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from weakref import WeakValueDictionary

import httpcore2
import httpx2

from reliquary.upstream.addresses import Guard
from reliquary.upstream.policy import Outgoing, UpstreamPolicy
from reliquary.upstream.stream import Stream

HANDSHAKES = 8
"""Connections to one host that are being opened at a time."""
BLANK_LINE = re.compile(rb"\n\r?\n")
INTERIM = re.compile(rb"HTTP/[0-9.]+ 1")
ERRORS = (
    httpx2.HTTPError,
    httpx2.StreamError,
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
    OSError,
)
"""Every way in which a request or the reading of its answer can fail."""


def explain(problem: BaseException) -> str:
    """A failure in a few words that hold no address, query or credential."""
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "has a certificate that is not trusted"
        cause = cause.__cause__ or cause.__context__
    if isinstance(problem, (TimeoutError, httpcore2.TimeoutException, httpx2.TimeoutException)):
        return "did not answer in time"
    if isinstance(problem, (httpcore2.ProxyError, httpx2.ProxyError)):
        return "cannot be reached through the outgoing proxy"
    if isinstance(problem, (httpcore2.ProtocolError, httpx2.ProtocolError)):
        return "broke the HTTP protocol or hung up"
    if isinstance(problem, (httpcore2.ReadError, httpcore2.WriteError)):
        return "broke the connection"
    return "cannot be reached"


class CountingStream(httpcore2.AsyncNetworkStream):
    """A connection that knows how many body bytes came since the last request was written, so that bytes
    beyond the announced length are seen and never taken for the head of the next answer."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream, gate: asyncio.Semaphore) -> None:
        self._stream = stream
        self._gate = gate
        self._head: bytearray | None = bytearray()
        self._spoiled = False
        self.received = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read some; counts what lies after the head."""
        data = await self._stream.read(max_bytes, timeout)
        if self._head is None:
            self.received += len(data)
            return data
        start = max(0, len(self._head) - 2)  # looking at every byte again would make a dripping head dear
        self._head += data
        while end := BLANK_LINE.search(self._head, start):
            rest = self._head[end.end() :]
            if INTERIM.match(self._head):
                self._head, start = rest, 0
                continue
            self._head, self.received = None, len(rest)
            break
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write some; a request begins anew."""
        if buffer:
            self._head, self.received = bytearray(), 0
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Begin TLS; the name is checked, not the address."""
        async with self._gate:
            return CountingStream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._gate)

    def get_extra_info(self, info: str) -> Any:
        """What the pool asks about; a spoiled connection counts as hung up, so the pool drops it."""
        return True if self._spoiled and info == "is_readable" else self._stream.get_extra_info(info)

    def spoil(self) -> None:
        """Never use this connection again."""
        self._spoiled = True


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Dials. With a guard, only the addresses that the guard has just judged; without (for the operator's
    own outgoing proxy), whatever it is told."""

    def __init__(self, guard: Guard | None) -> None:
        self._guard = guard
        self._gates: WeakValueDictionary[tuple[str, int], asyncio.Semaphore] = WeakValueDictionary()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that answers within ``timeout`` seconds."""
        # A burst of handshakes would starve itself: each waits its turn, and only then for the host.
        gate = self._gates.get((host, port)) or asyncio.Semaphore(HANDSHAKES)
        self._gates[host, port] = gate
        async with gate, asyncio.timeout(timeout):
            addresses = [host] if self._guard is None else await self._guard.admit(host, port)
            for left in range(len(addresses) - 1, 0, -1):
                with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                    return await self._dial(addresses[-left - 1], port, (timeout or 5) / (left + 1), gate)
            return await self._dial(addresses[-1], port, timeout, gate)

    async def _dial(
        self, address: str, port: int, timeout: float | None, gate: asyncio.Semaphore
    ) -> httpcore2.AsyncNetworkStream:
        return CountingStream(await Stream.connect(address, port, timeout), gate)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class RawBody(httpx2.AsyncByteStream):
    """An answer's body as the pool gives it."""

    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk

    async def aclose(self) -> None:
        """Give the connection back, or close it when the body was not read to its end."""
        await self._stream.aclose()  # type: ignore[attr-defined]  # the pool's stream has it, its type does not say


class Transport(httpx2.AsyncBaseTransport):
    """Pools over the guarded backend: a direct one, and one for each outgoing proxy that is asked for."""

    def __init__(self, guard: Guard, policy: UpstreamPolicy, outgoing: Outgoing) -> None:
        self._guard = guard
        self._policy = policy
        self._outgoing = outgoing
        self._tls = outgoing.tls()
        self._pools: dict[str | None, httpcore2.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        url = request.url
        assert isinstance(request.stream, httpx2.AsyncByteStream)  # noqa: S101  # requests here have no body
        answer = await self._pool(url).handle_async_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        assert isinstance(answer.stream, AsyncIterable)  # noqa: S101  # it is an asynchronous pool
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=RawBody(answer.stream), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.aclose()

    def _pool(self, url: httpx2.URL) -> httpcore2.AsyncConnectionPool:
        proxy = self._outgoing.proxy(url.scheme, url.host, port_of(url))
        if proxy not in self._pools:
            self._pools[proxy] = httpcore2.AsyncConnectionPool(
                ssl_context=self._tls,
                proxy=None if proxy is None else self._proxy(httpx2.URL(proxy)),
                max_connections=self._policy.max_connections,
                max_keepalive_connections=self._policy.max_connections,
                keepalive_expiry=30.0,
                network_backend=GuardedBackend(self._guard if proxy is None else None),
            )
        return self._pools[proxy]

    def _proxy(self, url: httpx2.URL) -> httpcore2.Proxy:
        return httpcore2.Proxy(
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=port_of(url), target=b"/"),
            auth=(url.username.encode(), url.password.encode()) if url.username else None,
            ssl_context=self._tls if url.scheme == "https" else None,
        )


def port_of(url: httpx2.URL) -> int:
    """The port, the scheme's own when none is written."""
    return url.port if url.port is not None else 443 if url.scheme == "https" else 80


def origin(url: httpx2.URL) -> tuple[str, bytes, int]:
    """Scheme, host and port."""
    return url.scheme, url.raw_host, port_of(url)


def quiet_client(transport: Transport, policy: UpstreamPolicy) -> httpx2.AsyncClient:
    """A client that keeps no cookies, reads no environment and follows nothing by itself."""
    for name in ("httpx2", "httpcore2"):
        # They log whole addresses, and a signed query is as good as a password.
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx2.AsyncClient(
        transport=transport,
        timeout=httpx2.Timeout(
            connect=policy.connect_timeout,
            read=policy.read_timeout,
            write=policy.read_timeout,
            pool=policy.pool_timeout,
        ),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        trust_env=False,
    )
