"""A request as verbs and queries see it, and its body as a stream with limits."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from reliquary.errors import Broken, Malformed, TooLarge, Unauthenticated, UnknownCoding
from reliquary.formats.verbs import Accounts, Part
from reliquary.web import multipart

IDLE = 60.0
"""Seconds without a byte after which an upload is given up."""
OVERHEAD = 67_108_864
"""Bytes a body may have beyond its file: form fields, signatures, attestations."""
FRAME = 1_048_576
"""The same for bodies that are the file itself, or hold it in a small frame."""
FORMS = ("multipart/form-data", "application/json")
RATIO = 100
"""How many bytes one packed byte may become, past the first MiB."""

SECRET = frozenset({"authorization", "proxy-authorization", "cookie"})


class WebIncoming:
    """Implements `reliquary.formats.verbs.Incoming` over ASGI.

    Args:
        receive: ASGI's receive.
        headers: every request header, names in lower case.
        limit: bytes that a body may have, counted as they are read.
        accounts: who asks; None where that was settled before.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[Any]],
        *,
        method: str,
        segments: tuple[str, ...],
        query: Mapping[str, str],
        headers: Mapping[str, str],
        base_url: str,
        limit: int,
        accounts: Accounts | None = None,
    ) -> None:
        self.method = method
        self.segments = segments
        self.query = query
        self.headers = {name: value for name, value in headers.items() if name not in SECRET}
        self.base_url = base_url
        self._receive = receive
        self._accounts = accounts
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._most = limit
        self._limit = limit + (OVERHEAD if kind in FORMS else FRAME)
        self._check_head()

    def _check_head(self) -> None:
        """What can be refused before the first byte is read (and before 100 Continue)."""
        length = self.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._limit:
            raise TooLarge(f"the body of {length} bytes is larger than the {self._most} that are taken")
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip", "x-gzip", ""):
            raise UnknownCoding(f"the body's coding {coding[:40]!r} is not known; send it plain or as gzip")

    @property
    def accounts(self) -> Accounts:
        if self._accounts is None:
            raise Unauthenticated("nobody can log in at this address")
        return self._accounts

    def chunks(self) -> AsyncIterator[bytes]:
        if self.headers.get("content-encoding", "").strip().lower() in ("gzip", "x-gzip"):
            return self._unpacked()
        return self._raw()

    async def _raw(self) -> AsyncIterator[bytes]:
        size = 0
        while True:
            try:
                async with asyncio.timeout(IDLE):
                    message = await self._receive()
            except TimeoutError:
                raise Malformed(f"nothing came for {IDLE:.0f} seconds; the upload was given up") from None
            if message["type"] == "http.disconnect":
                raise Broken("the client went away in the middle of its upload")
            body: bytes = message.get("body", b"")
            size += len(body)
            if size > self._limit:
                raise TooLarge(f"the body is larger than the {self._most} bytes that are taken")
            if body:
                yield body
            if not message.get("more_body", False):
                return

    async def _unpacked(self) -> AsyncIterator[bytes]:
        packed = unpacked = 0
        machine = zlib.decompressobj(wbits=31)
        try:
            async for chunk in self._raw():
                packed += len(chunk)
                while chunk:
                    data = machine.decompress(chunk, 262_144)
                    chunk = machine.unconsumed_tail
                    unpacked += len(data)
                    if unpacked > self._limit or unpacked > 1_048_576 + RATIO * packed:
                        raise TooLarge("the unpacked body is larger than is taken")
                    if data:
                        yield data
                    elif not chunk:
                        break
                if machine.unused_data:
                    raise Malformed("the gzip body has bytes after its end")
        except zlib.error as error:
            raise Malformed("the body is not the gzip it says it is") from error
        if not machine.eof:
            raise Malformed("the gzip body was cut")

    async def body(self, limit: int) -> bytes:
        pieces, size = [], 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the body is larger than the {limit} bytes that are taken here")
            pieces.append(chunk)
        return b"".join(pieces)

    def parts(self) -> AsyncIterator[Part]:
        return multipart.parts(self.headers.get("content-type", ""), self.chunks())
