"""One request and its answer on ASGI: parsed once, started once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from datetime import datetime
from typing import Any

from reliquary.formats.verbs import Reply
from reliquary.web.server import gone, linger, set_reason

MOST_HEADERS = 200
"""Headers that a request may have; joining thousands of one name would not be linear."""
Scope = MutableMapping[str, Any]


class Left(Exception):
    """The client went away in the middle of its answer."""


class Request:
    """What the endpoint needs of a request, and the sending side.

    Args:
        scope, receive, send: ASGI's.
        now: the time, UTC.
    """

    __slots__ = ("_send", "flooded", "headers", "method", "now", "receive", "scope", "started")

    def __init__(self, scope: Scope, receive: Any, send: Any, now: Callable[[], datetime]) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self.now = now
        self.method: str = scope["method"]
        self.headers: dict[str, str] = {}
        self.flooded = len(scope["headers"]) > MOST_HEADERS
        for name, value in scope["headers"][:MOST_HEADERS]:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text
        self.started = False

    async def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Send the status line and the headers."""
        self.started = True
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def write(self, body: bytes) -> None:
        """Send a part of the body; raises Left when nobody is there to take it."""
        if gone(self.scope):
            raise Left("the client went away")
        if body:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        """Send the last part of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def reply(self, reply: Reply) -> None:
        """Send a small whole answer; never kept by caches unless it says so itself."""
        headers = headers_of(reply)
        if ("connection", "close") in headers:
            linger(self.scope)
        if reply.reason:
            set_reason(self.scope, reply.reason)
        await self.start(reply.status, headers)
        await self.end(b"" if self.method == "HEAD" or reply.status in (204, 304) else reply.body)


def headers_of(reply: Reply) -> list[tuple[str, str]]:
    """The headers of a small whole answer."""
    headers = [pair for pair in reply.headers if "\r" not in pair[1] and "\n" not in pair[1]]
    names = {name for name, _ in headers}
    if reply.status not in (204, 304):
        headers += [("content-type", reply.content_type), ("content-length", str(len(reply.body)))]
    if "cache-control" not in names:
        headers.append(("cache-control", "no-store"))
    if "x-content-type-options" not in names:
        headers.append(("x-content-type-options", "nosniff"))
    return headers
