"""uvicorn's protocol with what ASGI has no word for: reason phrases, and cutting a connection."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, TypeAlias, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

CYCLE = "reliquary.cycle"
TARGET = "reliquary.target"
Find: TypeAlias = Callable[[bytes, Sequence[tuple[bytes, bytes]]], tuple[bytes, bytes] | None]
"""Looks for a whole answer to a GET: target and headers to head and body, or None."""
LINGER = 2.0
"""Seconds between an answer to a body that was not read and the end of the connection."""
MOST_HEAD = 262_144
"""Bytes that the request line and all headers may take together."""


_H2C = re.compile(rb"\r\nupgrade:[ \t]*h2c[ \t]*\r\n", re.IGNORECASE)


class Protocol(HttpToolsProtocol):
    """HttpToolsProtocol that leaves its request cycle where the endpoint finds it, and answers at
    once what the application has ready: no task, no event, one write."""

    _in_head = False
    _between = True
    _head_bytes = 0
    _answered = False

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._find: Find = getattr(self.app, "find", _nothing)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cast("dict[str, Any]", cycle.scope)
        scope[CYCLE], scope[TARGET] = cycle, self.url
        super()._start_asgi_task(cycle, app)

    def _answer_at_once(self) -> bool:
        parser, cycle = self.parser, self.cycle
        if parser.get_method() != b"GET" or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return False
        if parser.should_upgrade() or self.pipeline or not (cycle is None or cycle.response_complete):
            return False
        if self.flow.write_paused or self.transport.is_closing():
            return False
        ready = self._find(self.url, self.headers)
        if ready is None:
            return False
        head, body = ready
        standing = b"".join([name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers])
        self.transport.writelines((head + standing + b"\r\n", body))
        self.on_response_complete()
        return True

    def on_body(self, body: bytes) -> None:
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._between = True
        if not self._answered:
            super().on_message_complete()

    def on_message_begin(self) -> None:
        # The scope is made when it is known that somebody needs it.
        self._in_head, self._between, self._head_bytes, self._answered = True, False, 0, False
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._answered = self._answer_at_once()
        if not self._answered:
            url, headers, expects = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.headers, self.expect_100_continue = url, headers, expects
            self.scope["headers"] = headers
            super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which keeps a head that never ends until it has all of it."""
        super().data_received(_without_h2c(data) if self._between else data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")

    def _unsupported_upgrade_warning(self) -> None:
        """What clients offer beside is not worth a line each."""


def _without_h2c(data: bytes) -> bytes:
    """Bytes of a head without its offer of HTTP/2 (RFC 7540, section 3.2): the parser takes whatever follows a head
    with an upgrade for another protocol, and curl sends the offer with bodies too."""
    if b"h2c" not in data:
        return data
    head, end, rest = data.partition(b"\r\n\r\n")
    # Of a head in pieces nobody knows here where a line, or the head, ends.
    return _H2C.sub(b"\r\n", head + b"\r\n")[:-2] + end + rest if end else data


def _nothing(_: bytes, __: Sequence[tuple[bytes, bytes]]) -> None:
    """What applications without ready answers have."""


class _Phrased:
    """A transport that writes another reason phrase into the first status line."""

    def __init__(self, transport: Any, phrase: bytes) -> None:
        self._transport = transport
        self._phrase: bytes | None = phrase

    def write(self, data: bytes) -> None:
        if self._phrase is not None and data.startswith(b"HTTP/1.1 "):
            line, _, rest = data.partition(b"\r\n")
            data = line[:13] + self._phrase + b"\r\n" + rest
            self._phrase = None
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Lingering:
    """A transport that closes a little later, and takes in meanwhile what the client still sends:
    closed at once with bytes unread, the kernel would reset the connection and the client might
    never see its answer."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def close(self) -> None:
        if self._transport.can_write_eof():
            self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER, self._transport.close)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def linger(scope: MutableMapping[str, Any]) -> None:
    """Close the connection after this answer, but not before the client could read it."""
    cycle = scope.get(CYCLE)
    if cycle is not None:
        cycle.transport = _Lingering(cycle.transport)


def set_reason(scope: MutableMapping[str, Any], phrase: str) -> None:
    """Send ``phrase`` in place of the standard one (printable ASCII, at most 200 characters)."""
    clean = "".join(sign for sign in phrase[:200] if " " <= sign <= "~")
    cycle = scope.get(CYCLE)
    if cycle is not None and clean:
        cycle.transport = _Phrased(cycle.transport, clean.encode("ascii"))


def gone(scope: MutableMapping[str, Any]) -> bool:
    """Whether the client has gone; the server itself would take what is sent and drop it."""
    cycle = scope.get(CYCLE)
    return cycle is not None and bool(cycle.disconnected)


def cut(scope: MutableMapping[str, Any]) -> bool:
    """End the connection without ending the answer; False where the server cannot."""
    cycle = scope.get(CYCLE)
    if cycle is None:
        return False
    cycle.transport.close()
    cycle.disconnected = True
    return True
