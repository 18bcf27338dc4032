"""A loopback server that plays an upstream from fixtures, and can be slow, broken, lying or down.

It speaks raw sockets, so that it can break the protocol, and runs in a thread of its own with its own loop:
asynchronous tests, synchronous ones and servers in subprocesses can all ask it. Both ``with playing() as
upstream`` and ``async with playing() as upstream`` work; at exit everything is closed.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

T = TypeVar("T")

REASONS = {200: "OK", 206: "Partial Content", 302: "Found", 304: "Not Modified", 404: "Not Found"}


@dataclass(frozen=True)
class Request:
    """What was asked: ``path`` with its query, as sent; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Fault:
    """What goes wrong for a path; everything may be combined.

    Args:
        down: hang up without an answer.
        delay: seconds before the head.
        drip: bytes a second at which the body comes.
        cut: body bytes after which the connection is reset.
        lie: bytes by which Content-Length is too large (or, negative, too small).
        status: answer this status instead, with a short text.
        retry_after: Retry-After of that status.
        html: answer a captive portal's page instead, status 200.
        bomb: bytes of zeros to send gzipped instead, with Content-Encoding.
        redirect: answer 302 to this address.
        no_validators: leave ETag and Last-Modified away, and answer conditionals whole.
        no_ranges: ignore Range.
        no_head: answer HEAD with 405.
        chunked: send the body in chunks, without Content-Length.
        headers: further or other answer headers.
        raw: send these bytes and hang up.
        times: how many requests to its path it lasts; None for ever (and for ``*``).
    """

    down: bool = False
    delay: float = 0.0
    drip: int | None = None
    cut: int | None = None
    lie: int = 0
    status: int | None = None
    retry_after: str | None = None
    html: bool = False
    bomb: int | None = None
    redirect: str | None = None
    no_validators: bool = False
    no_ranges: bool = False
    no_head: bool = False
    chunked: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    times: int | None = None


@dataclass(frozen=True)
class Resource:
    """What lies at a path."""

    body: bytes
    content_type: str
    headers: Mapping[str, str]
    modified: str | None

    @property
    def etag(self) -> str:
        """Made from the bytes."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'


class Upstream:
    """The server. ``put`` and ``fault`` may be called at any time, from any thread."""

    def __init__(self, routes: Mapping[str, bytes] | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._resources: dict[str, Resource] = {}
        self._faults: dict[str, Fault] = {}
        self._everywhere = Fault()
        self._tls = tls
        self._lock = threading.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        for path, body in (routes or {}).items():
            self.put(path, body)

    # --- what tests say ---

    @property
    def host(self) -> str:
        """``127.0.0.1:port``."""
        return f"127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Stays the same over ``stop`` and ``resume``."""
        return self._port

    @property
    def url(self) -> str:
        """The root, with a final slash."""
        return f"{'https' if self._tls else 'http'}://{self.host}/"

    def put(
        self,
        path: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
        modified: str | None = "Thu, 01 Jan 2026 00:00:00 GMT",
    ) -> str:
        """Lay bytes at a path (with a leading slash, without query); returns its address."""
        with self._lock:
            self._resources[path] = Resource(body, content_type, dict(headers or {}), modified)
        return self.url.rstrip("/") + path

    def remove(self, path: str) -> None:
        """From now on 404."""
        with self._lock:
            self._resources.pop(path, None)

    def fault(self, path: str, **kinds: Any) -> None:
        """Make a path faulty (see `Fault`); ``*`` stands for every path."""
        with self._lock:
            if path == "*":
                self._everywhere = Fault(**kinds)
            else:
                self._faults[path] = Fault(**kinds)

    def heal(self, path: str | None = None) -> None:
        """Take the faults of a path away, or all."""
        with self._lock:
            if path is None:
                self._faults.clear()
                self._everywhere = Fault()
            else:
                self._faults.pop(path, None)

    def hits(self, path: str | None = None, method: str | None = None) -> int:
        """How many requests there were, of a path (without query) and method if given."""
        with self._lock:
            return sum(
                (path is None or request.path.partition("?")[0] == path)
                and (method is None or request.method == method)
                for request in self.requests
            )

    def forget(self) -> None:
        """Count anew."""
        with self._lock:
            self.requests.clear()
            self.connections = 0

    def stop(self) -> None:
        """Refuse connections and cut those there are, until ``resume``."""
        self._run(self._close())

    def resume(self) -> None:
        """Listen again at the same port."""
        self._run(self._listen())

    # --- life ---

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstream", daemon=True)
        self._thread.start()
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.__exit__)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if self._server is None else writer.close()

    # --- one request ---

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection lives on."""
        request = parse(await reader.readuntil(b"\r\n\r\n"))
        await reader.readexactly(int(request.headers.get("content-length", "0")))
        path = request.path.partition("?")[0]
        with self._lock:
            self.requests.append(request)
            resource, fault = self._resources.get(path), self._take(path)
        await asyncio.sleep(fault.delay)
        if fault.down or fault.raw is not None:
            writer.write(fault.raw or b"")
            await writer.drain()
            return False
        status, headers, body = answer(request, resource, fault)
        bodiless = request.method == "HEAD" or status == 304
        headers.update({"content-length": str(len(body) + fault.lie)} if not (fault.chunked or status == 304) else {})
        headers.update({"transfer-encoding": "chunked"} if fault.chunked and not bodiless else {})
        headers.update(fault.headers)
        writer.write(head(status, headers))
        if not bodiless:
            await self._send(writer, body, fault)
        await writer.drain()
        return fault.lie == 0 and fault.cut is None

    def _take(self, path: str) -> Fault:
        fault = self._faults.get(path)
        if fault is None:
            return self._everywhere
        if fault.times is not None:
            left = replace(fault, times=fault.times - 1)
            if left.times:
                self._faults[path] = left
            else:
                del self._faults[path]
        return fault

    async def _send(self, writer: asyncio.StreamWriter, body: bytes, fault: Fault) -> None:
        sent = body if fault.cut is None else body[: fault.cut]
        # More than was announced goes out in the same breath as the rest, as a broken server would.
        for piece in pieces(sent, fault.drip):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if fault.chunked else piece)
            await writer.drain()
            await asyncio.sleep(0.1 if fault.drip else 0)
        if fault.cut is not None:
            await asyncio.sleep(0.05)  # the bytes so far must arrive before the reset overtakes them
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif fault.chunked:
            writer.write(b"0\r\n\r\n")


def parse(head: bytes) -> Request:
    """A request's head."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return Request(method, path, {name.strip().lower(): value.strip() for name, _, value in pairs})


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """An answer's head; an empty value leaves the header away."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def pieces(body: bytes, drip: int | None) -> list[bytes]:
    """A body in the portions it is sent in: a tenth of a second's worth each when it drips."""
    step = 65_536 if drip is None else max(1, drip // 10)
    return [body[start : start + step] for start in range(0, len(body), step)]


def answer(request: Request, resource: Resource | None, fault: Fault) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, the lengths not yet lied about."""
    if fault.redirect is not None:
        return 302, {"location": fault.redirect}, b""
    if fault.status is not None:
        return fault.status, {"content-type": "text/plain", "retry-after": fault.retry_after or ""}, b"no luck\n"
    if fault.html:
        return 200, {"content-type": "text/html"}, b"<!DOCTYPE html><title>Sign in</title><form>Sign in first</form>"
    if fault.bomb is not None:
        body = gzip.compress(bytes(fault.bomb), 9)
        return 200, {"content-type": "text/html", "content-encoding": "gzip"}, body
    if request.method not in ("GET", "HEAD") or (request.method == "HEAD" and fault.no_head):
        return 405, {"allow": "GET"}, b""
    if resource is None:
        return 404, {"content-type": "text/plain"}, b"nothing here\n"
    return whole_or_part(request, resource, fault)


def whole_or_part(request: Request, resource: Resource, fault: Fault) -> tuple[int, dict[str, str], bytes]:
    """200, 206, 304 or 416 for something that is there."""
    headers = {"content-type": resource.content_type, "accept-ranges": "bytes"}
    if not fault.no_validators:
        headers |= {"etag": resource.etag, "last-modified": resource.modified or ""}
        known = request.headers.get("if-none-match")
        since = request.headers.get("if-modified-since")
        if known == resource.etag or (known is None and since is not None and since == resource.modified):
            return 304, headers, b""
    headers |= resource.headers
    body = resource.body
    span = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if span is None or fault.no_ranges or request.method == "HEAD" or not any(span.groups()):
        return 200, headers, body
    first = int(span[1]) if span[1] else max(0, len(body) - int(span[2]))
    last = min(int(span[2]), len(body) - 1) if span[1] and span[2] else len(body) - 1
    if first > last:
        return 416, {"content-range": f"bytes */{len(body)}"}, b""
    return 206, headers | {"content-range": f"bytes {first}-{last}/{len(body)}"}, body[first : last + 1]


def playing(routes: Mapping[str, bytes] | None = None, *, tls: ssl.SSLContext | None = None) -> Upstream:
    """An upstream to enter with ``with`` or ``async with``; ``routes`` are paths and bytes to begin with."""
    return Upstream(routes, tls=tls)
