"""Pages and small files that were just sent, ready to be sent again: whole answers, found by the request's
own bytes.

What such an answer depends on is in the key: the target, Host, and the two headers that are
negotiated. Any other header that could change it sends the request the ordinary way, as does
any change since: an answer is good only while nothing was dropped from the hot map.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from reliquary.repositories.base import FOREVER, PageHit, Stored
from reliquary.repositories.context import Context
from reliquary.repositories.projection import Shown
from reliquary.web.conditions import quoted

Key: TypeAlias = tuple[bytes, bytes, bytes, bytes]
"""Target, Host, Accept and Accept-Encoding."""
PLAIN = frozenset(
    {
        b"user-agent",
        b"connection",
        b"accept-language",
        b"cache-control",
        b"pragma",
        b"origin",
        b"referer",
        b"cargo-protocol",
        b"http2-settings",
    }
)
"""Headers that change nothing in the answer."""
MOST = 4096
"""Answers that are kept at the most."""
BUDGET = 67_108_864
"""Bytes that their bodies may have together."""
SMALL = 65_536
"""Bytes up to which a file is kept."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A whole answer but for its Date: heads of the 200 and the 304, and the body. ``file``: repository and key
    of a file, whose downloads and last use are noted."""

    mark: int
    until: float
    etag: bytes
    found: bytes
    unchanged: bytes
    body: bytes
    file: tuple[int, str] | None = None


class Quick:
    """The answers of one context.

    Args:
        context: whose hot map says what is still good.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._ready: dict[Key, Ready] = {}
        self._held = 0

    def find(self, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        """Head and body for a GET of ``target``, or None: the ordinary way answers."""
        key, tag = _key(target, headers)
        ready = self._ready.get(key) if key is not None else None
        context = self.context
        if ready is None or ready.mark != context.hot.drops or context.monotonic() >= ready.until:
            return None
        if ready.file is not None:
            context.used[ready.file] = context.now()
        if not tag:
            context.count("requests")
            if ready.file is not None:
                context.downloads[ready.file] = context.downloads.get(ready.file, 0) + 1
            return ready.found, ready.body
        if tag == ready.etag:
            context.count("requests")
            return ready.unchanged, b""
        return None

    def keep(
        self,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        at: tuple[int, str],
        hit: PageHit,
        shared: Iterable[tuple[str, str]],
        more: Iterable[tuple[str, str]],
    ) -> None:
        """Keep the answer that is being sent, if its page is in the hot map at this very moment.

        Args:
            at: where in the hot map it would be.
            shared: headers of the 200 and the 304.
            more: further headers of the 200.
        """
        key, _ = _key(target, headers)
        shown: Shown | None = self.context.hot.get(*at)
        if key is None or hit.body is None or hit.stale or hit.partial or shown is None:
            return
        if not any(each is hit for each in shown.variants.values()):
            return
        self._take(key, _ready(self.context.hot.drops, shown.until, hit.etag, shared, more, hit.body))

    def keep_file(
        self,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        since: int,
        at: tuple[int, str],
        hit: Stored,
        shared: Iterable[tuple[str, str]],
        more: Iterable[tuple[str, str]],
        body: bytes,
    ) -> None:
        """Keep the answer of an immutable file that anybody may read, if nothing was dropped meanwhile.

        Args:
            since: `HotMap.drops` before the file was looked for.
            at: repository and key, to note the use of.
            shared: headers of the 200 and the 304.
            more: further headers of the 200.
        """
        key, _ = _key(target, headers)
        if key is not None and since == self.context.hot.drops and len(body) <= SMALL:
            self._take(key, _ready(since, FOREVER, hit.etag, shared, more, body, at))

    def keep_reply(
        self,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        since: int,
        sent: Iterable[tuple[str, str]],
        body: bytes,
    ) -> None:
        """Keep a computed answer that anybody may have, and that is the same until something changes.

        Args:
            since: `HotMap.drops` before it was computed.
            sent: all its headers.
        """
        key, tag = _key(target, headers)
        if key is not None and not tag and since == self.context.hot.drops and len(body) <= SMALL:
            self._take(key, _ready(since, FOREVER, hashlib.sha256(body).hexdigest(), (), sent, body))

    def _take(self, key: Key, ready: Ready) -> None:
        """Take an answer in, and let go of the oldest ones."""
        self._forget(key)
        while self._ready and (len(self._ready) >= MOST or self._held + len(ready.body) > BUDGET):
            self._forget(next(iter(self._ready)))
        self._ready[key] = ready
        self._held += len(ready.body)

    def _forget(self, key: Key) -> None:
        old = self._ready.pop(key, None)
        if old is not None:
            self._held -= len(old.body)


def _ready(
    mark: int,
    until: float,
    etag: str,
    shared: Iterable[tuple[str, str]],
    more: Iterable[tuple[str, str]],
    body: bytes,
    file: tuple[int, str] | None = None,
) -> Ready:
    lines = _lines(shared)
    found, unchanged = b"HTTP/1.1 200 OK\r\n" + lines + _lines(more), b"HTTP/1.1 304 Not Modified\r\n" + lines
    return Ready(mark, until, quoted(etag).encode(), found, unchanged, body, file)


def _key(target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> tuple[Key | None, bytes]:
    """What the answer depends on and If-None-Match; no key when it depends on more."""
    host = accept = coding = tag = b""
    for name, value in headers:
        if name == b"host" and not host:
            host = value
        elif name == b"accept" and not accept:
            accept = value
        elif name == b"accept-encoding" and not coding:
            coding = value
        elif name == b"if-none-match" and not tag:
            tag = value
        elif name not in PLAIN:
            return None, b""
    return (target, host, accept, coding), tag


def _lines(pairs: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in pairs)
