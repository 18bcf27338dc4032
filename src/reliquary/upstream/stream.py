"""Connections to upstreams over the event loop's own transports.

They hand over what has come in large pieces: a file that passes in pieces of a TLS record costs
more in bookkeeping than in bytes.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, cast

import httpcore2

MOST = 262_144
"""Bytes that one read gives at most."""
ENOUGH = 524_288
"""Bytes that may wait to be read before the other side is held back."""


class Wire(asyncio.Protocol):
    """What came in and was not read yet, and how the connection fares."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiting = bytearray()
        self.ended = False
        self.error: Exception | None = None
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._held = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there, or goes on inside TLS."""
        self.transport = cast("asyncio.Transport", transport)  # that of a stream, whichever loop made it

    def data_received(self, data: bytes) -> None:
        """Keep it; hold the other side back when nobody reads."""
        self.waiting += data
        if len(self.waiting) >= ENOUGH and not self._held and self.transport is not None:
            self._held = True
            self.transport.pause_reading()
        self._news.set()

    def eof_received(self) -> bool | None:
        """The other side has sent all it will."""
        self.ended = True
        self._news.set()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes or goes any more."""
        self.ended, self.error = True, exc
        self._news.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """The other side does not keep up."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._writable.set()

    async def read(self, most: int) -> bytes:
        """What came, at most so many bytes; b"" at the end."""
        while not self.waiting and not self.ended:
            self._news.clear()
            await self._news.wait()
        if not self.waiting and self.error is not None:
            raise httpcore2.ReadError("the connection broke") from self.error
        data = bytes(self.waiting[:most])
        del self.waiting[:most]
        if self._held and len(self.waiting) < ENOUGH and self.transport is not None:
            self._held = False
            if not self.ended:
                self.transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send, waiting for room."""
        if self.transport is None or self.ended or self.transport.is_closing():
            raise httpcore2.WriteError("the connection is closed")
        self.transport.write(data)
        await self._writable.wait()


class Stream(httpcore2.AsyncNetworkStream):
    """Implements the library's stream over a `Wire`.

    Args:
        wire: connected.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @classmethod
    async def connect(cls, address: str, port: int, timeout: float | None) -> Stream:
        """Connect to an address; raises the library's ConnectError, ConnectTimeout."""
        try:
            async with asyncio.timeout(timeout):
                _, wire = await asyncio.get_running_loop().create_connection(Wire, address, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("no connection in time") from error
        except OSError as error:
            raise httpcore2.ConnectError("no connection") from error
        return cls(wire)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What came; the library asks for less than is good for files."""
        try:
            async with asyncio.timeout(timeout):
                return await self._wire.read(max(max_bytes, MOST))
        except TimeoutError as error:
            raise httpcore2.ReadTimeout("nothing came in time") from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send."""
        try:
            async with asyncio.timeout(timeout):
                await self._wire.write(buffer)
        except TimeoutError as error:
            raise httpcore2.WriteTimeout("nothing could be sent in time") from error

    async def aclose(self) -> None:
        """Close, without waiting for the other side to agree: nothing is left to send."""
        if self._wire.transport is not None:
            self._wire.transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Stream:
        """Begin TLS on the connection; raises the library's ConnectError, ConnectTimeout."""
        plain, wire = self._wire.transport, Wire()
        if plain is None or self._wire.ended or self._wire.waiting:
            # Nobody speaks before TLS begins; what came in the open must never count as what TLS brought.
            await self.aclose()
            raise httpcore2.ConnectError("the connection is of no use for TLS")
        try:
            async with asyncio.timeout(timeout):
                inner = await asyncio.get_running_loop().start_tls(
                    plain, wire, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            plain.abort()
            raise httpcore2.ConnectTimeout("no TLS in time") from error
        except (OSError, ssl.SSLError) as error:
            plain.abort()
            raise httpcore2.ConnectError("no TLS") from error
        if inner is None:
            raise httpcore2.ConnectError("the connection went before TLS began")
        wire.transport = inner
        return Stream(wire)

    def get_extra_info(self, info: str) -> Any:
        """What the library asks: the TLS object, addresses, and whether anything may be read, which
        between two answers means that the connection is of no more use."""
        transport = self._wire.transport
        if info == "is_readable":
            return self._wire.ended or bool(self._wire.waiting) or transport is None or transport.is_closing()
        name = {"client_addr": "sockname", "server_addr": "peername"}.get(info, info)
        return None if transport is None else transport.get_extra_info(name)
