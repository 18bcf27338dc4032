"""uvicorn's protocol with what ASGI has no word for: reason phrases, and cutting a connection."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

CYCLE = "reliquary.cycle"
MOST_HEAD = 262_144
"""Bytes that the request line and all headers may take together."""


class Protocol(HttpToolsProtocol):
    """HttpToolsProtocol that leaves its request cycle where the endpoint finds it."""

    _in_head = False
    _head_bytes = 0

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cast("dict[str, Any]", cycle.scope)[CYCLE] = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which keeps a head that never ends until it has all of it."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")

    def _unsupported_upgrade_warning(self) -> None:
        """curl-based clients offer h2c with each request: not worth a line each."""


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
