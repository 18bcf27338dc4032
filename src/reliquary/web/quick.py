"""Pages that were just sent, ready to be sent again: whole answers, found by the request's own bytes.

What a page's answer depends on is in the key: the target, Host, and the two headers that are
negotiated. Any other header that could change it sends the request the ordinary way, as does
any change since: an answer is good only while nothing was dropped from the hot map.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reliquary.repositories.base import PageHit
from reliquary.repositories.context import Context
from reliquary.repositories.projection import Shown
from reliquary.web.conditions import quoted

PLAIN = frozenset(
    {b"user-agent", b"connection", b"accept-language", b"cache-control", b"pragma", b"origin", b"referer"}
)
"""Headers that change nothing in a page's answer."""
MOST = 4096
"""Answers that are kept at the most."""
BUDGET = 67_108_864
"""Bytes that their bodies may have together."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A whole answer but for its Date: heads of the 200 and the 304, and the body."""

    mark: int
    until: float
    etag: bytes
    found: bytes
    unchanged: bytes
    body: bytes


class Quick:
    """The answers of one context.

    Args:
        context: whose hot map says what is still good.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._ready: dict[tuple[bytes, bytes, bytes, bytes], Ready] = {}
        self._held = 0

    def find(self, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        """Head and body for a GET of ``target``, or None: the ordinary way answers."""
        key, tag = _key(target, headers)
        ready = self._ready.get(key) if key is not None else None
        context = self.context
        if ready is None or ready.mark != context.hot.drops or context.monotonic() >= ready.until:
            return None
        if not tag:
            context.count("requests")
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
        if len(self._ready) >= MOST or self._held + len(hit.body) > BUDGET:
            self._ready.clear()
            self._held = 0
        lines = _lines(shared)
        self._ready[key] = Ready(
            mark=self.context.hot.drops,
            until=shown.until,
            etag=quoted(hit.etag).encode(),
            found=b"HTTP/1.1 200 OK\r\n" + lines + _lines(more),
            unchanged=b"HTTP/1.1 304 Not Modified\r\n" + lines,
            body=hit.body,
        )
        self._held += len(hit.body)


def _key(
    target: bytes, headers: Sequence[tuple[bytes, bytes]]
) -> tuple[tuple[bytes, bytes, bytes, bytes] | None, bytes]:
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
