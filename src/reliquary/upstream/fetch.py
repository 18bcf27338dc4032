"""What an upstream's answer means: pure functions on statuses, headers and packed bodies."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Protocol

from backports.zstd import ZstdDecompressor, ZstdError

from reliquary.errors import Unavailable
from reliquary.upstream.base import Validators

ASKED = frozenset({"accept", "range", "if-range", "if-none-match", "if-modified-since"})
"""Request headers that a caller may set."""

KEPT = frozenset(
    {
        "content-type",
        "content-length",
        "content-encoding",
        "etag",
        "last-modified",
        "cache-control",
        "content-range",
        "accept-ranges",
        "retry-after",
        "x-pypi-last-serial",
    }
)
"""Answer headers that are let through."""

SPAN = re.compile(r"bytes=(\d{1,19})?-(\d{1,19})?")
CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
CODINGS = "gzip, zstd"
STEP = 1_048_576
FLOOR = 4_194_304


class Transient(Unavailable):
    """A failure that may pass: the request can be tried again."""


class Outcome(Enum):
    """What a usable status says."""

    HERE = "here"
    UNCHANGED = "unchanged"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Question:
    """A request before it meets a host.

    Args:
        method: ``GET``, ``HEAD`` or ``POST``.
        headers: from the allow-list, names in lower case.
        body: JSON that is sent with a POST.
        aside: an error that is answered is not held against the host.
    """

    method: str
    headers: Mapping[str, str]
    body: bytes | None = None
    aside: bool = False

    @property
    def conditional(self) -> bool:
        """Whether a 304 may come."""
        return "if-none-match" in self.headers or "if-modified-since" in self.headers

    @property
    def ranged(self) -> bool:
        """Whether a 206 may come."""
        return "range" in self.headers and self.method == "GET"


def question(
    method: str,
    headers: Mapping[str, str] | None,
    validators: Validators | None,
    codings: str,
    agent: str,
    *,
    whole: bool = False,
    body: bytes | None = None,
    aside: bool = False,
) -> Question:
    """Build a request's headers: the caller's allowed ones, validators, and ours. A Range that is not one
    plain byte range is left out, so that the whole comes; with ``whole`` every Range is."""
    built = {name.lower(): value for name, value in (headers or {}).items() if name.lower() in ASKED}
    if whole or not SPAN.fullmatch(built.get("range", "")):
        built.pop("range", None)
        built.pop("if-range", None)
    if validators is not None and validators.etag:
        built["if-none-match"] = validators.etag
    if validators is not None and validators.modified:
        built["if-modified-since"] = validators.modified
    built.setdefault("accept", "*/*")
    if body is not None:
        built["content-type"] = "application/json"
    return Question(method, {**built, "accept-encoding": codings, "user-agent": agent}, body, aside)


def conclude(
    status: int, asked: Question, *, host: str, retry_after: int | None, forbidden_is_missing: bool
) -> Outcome:
    """Read a status.

    Args:
        status: HTTP status after redirects.
        asked: what was asked.
        host: named in messages.
        retry_after: seconds that the answer asks us to wait.
        forbidden_is_missing: whether 403 means missing.

    Raises:
        Transient: a 5xx.
        Unavailable: anything else that is no usable answer (RFC 9110 section 15).
    """
    wait = 30 if retry_after is None else retry_after
    if status == 200 or (status == 206 and asked.ranged):
        return Outcome.HERE
    if status == 304 and asked.conditional:
        return Outcome.UNCHANGED
    if status in (404, 410) or (status == 403 and forbidden_is_missing):
        return Outcome.MISSING
    if status >= 500 and retry_after is None:
        raise Transient(f"the upstream {host} answered {status}", retry_after=wait)
    if status >= 500:
        raise Unavailable(f"the upstream {host} answered {status} and asked to wait", retry_after=wait)
    if status in (401, 403):
        raise Unavailable(f"the upstream {host} refuses Reliquary ({status})", code="upstream-refuses")
    if status == 429:
        raise Unavailable(f"the upstream {host} asked to be left alone", retry_after=wait)
    raise Unavailable(f"the upstream {host} answered {status}, which was not asked for", retry_after=wait)


def kept(headers: Sequence[tuple[str, str]], more: Sequence[str] = ()) -> dict[str, str]:
    """The answer headers that are let through, names in lower case; of repeated ones the first."""
    found: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        if name in KEPT or name in more:
            found.setdefault(name, value.strip())
    return found


def validators_of(headers: Mapping[str, str]) -> Validators:
    """What the next conditional request can carry."""
    return Validators(etag=headers.get("etag") or None, modified=headers.get("last-modified") or None)


def length(headers: Mapping[str, str]) -> int | None:
    """Content-Length in bytes, or None; raises Unavailable when it is no number."""
    text = headers.get("content-length")
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise Unavailable("the upstream sent an unusable Content-Length")
    return int(text)


def seconds_to_wait(text: str | None, now: datetime, most: float) -> int | None:
    """Retry-After as seconds from ``now`` (RFC 9110 section 10.2.3), at most ``most``; None when there is none."""
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(int(text), int(most))
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    left = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return max(0, min(int(left), int(most)))


def check_part(asked: str, headers: Mapping[str, str]) -> None:
    """See that a 206 is the very part that was asked for (RFC 9110 section 15.3.7); raises Unavailable."""
    want, got = SPAN.fullmatch(asked), CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if want is None or got is None:
        raise Unavailable("the upstream sent a part without saying which")
    first, last = int(got[1]), int(got[2])
    total = None if got[3] == "*" else int(got[3])
    size = length(headers)
    lies = last < first or (total is not None and last >= total) or (size is not None and size != last - first + 1)
    if want[1] is not None:
        lies = lies or first != int(want[1]) or (want[2] is not None and last > int(want[2]))
    elif total is not None:
        lies = lies or first != max(0, total - int(want[2] or 0))
    if lies:
        raise Unavailable("the upstream sent another part than the one asked for")


class Pace:
    """Judges how fast a body comes.

    Args:
        rate: bytes per second that it must reach.
        window: seconds of waiting after which it is judged.
    """

    def __init__(self, rate: int, window: float) -> None:
        self._rate = rate
        self._window = window
        self._waited = 0.0
        self._came = 0

    def slow(self, seconds: float, size: int) -> bool:
        """Note that ``size`` bytes came after a wait; whether the window that ended was too slow."""
        self._waited += seconds
        self._came += size
        if self._waited < self._window:
            return False
        slow = self._came < self._rate * self._waited
        self._waited, self._came = 0.0, 0
        return slow


class Unpacker(Protocol):
    """One stream decoder."""

    @property
    def eof(self) -> bool:
        """Whether the packed stream has ended."""

    @property
    def unused_data(self) -> bytes:
        """What came after its end."""

    def step(self, data: bytes) -> bytes:
        """Unpack some; call again with b"" while it returns anything."""


class Gzip:
    """gzip, in steps."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What came after it."""
        return self._inner.unused_data

    def step(self, data: bytes) -> bytes:
        """Unpack at most a step's worth."""
        return b"" if self._inner.eof else self._inner.decompress(self._inner.unconsumed_tail + data, STEP)


class Zstd:
    """Zstandard, in steps."""

    def __init__(self) -> None:
        self._inner = ZstdDecompressor()

    @property
    def eof(self) -> bool:
        """Whether the frame has ended."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What came after it."""
        return self._inner.unused_data if self._inner.eof else b""

    def step(self, data: bytes) -> bytes:
        """Unpack at most a step's worth."""
        return b"" if self._inner.eof else self._inner.decompress(data, STEP)


UNPACKERS: Mapping[str, type[Gzip | Zstd]] = {"gzip": Gzip, "x-gzip": Gzip, "zstd": Zstd}


class Body:
    """Collects a document and undoes its coding, with caps.

    Args:
        coding: Content-Encoding, "" or ``identity`` for none.
        limit: bytes of the unpacked document.
        ratio: how many times larger than the packed bytes it may become (beyond the first few MB).
    """

    def __init__(self, coding: str, limit: int, ratio: int) -> None:
        coding = coding.strip().lower()
        if coding not in ("", "identity") and coding not in UNPACKERS:
            raise Unavailable(f"the upstream sent the unknown coding {coding[:40]!r}")
        self._make = UNPACKERS.get(coding)
        self._unpacker: Unpacker | None = None
        self._limit = limit
        self._ratio = ratio
        self._packed = 0
        self._whole = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take some packed bytes; raises Unavailable past the caps or when they cannot be unpacked."""
        self._packed += len(chunk)
        if self._make is None:
            self._keep(chunk)
            return
        try:
            self._unpack(chunk)
        except (zlib.error, ZstdError):
            raise Unavailable("the upstream sent a packed document that does not unpack") from None

    def end(self) -> bytes:
        """The whole document; raises Unavailable when the packed stream was cut."""
        if self._make is not None and self._packed and (self._unpacker is None or not self._unpacker.eof):
            raise Transient("the upstream sent a packed document that was cut short")
        return bytes(self._whole)

    def _unpack(self, chunk: bytes) -> None:
        assert self._make is not None  # noqa: S101  # add() asks first
        while True:
            if self._unpacker is None or self._unpacker.eof:
                if not chunk.strip(b"\0"):  # padding after the last member is allowed
                    return
                self._unpacker = self._make()
            out = self._unpacker.step(chunk)
            while out:
                self._keep(out)
                out = self._unpacker.step(b"")
            if not self._unpacker.eof:
                return
            chunk = self._unpacker.unused_data

    def _keep(self, chunk: bytes) -> None:
        size = len(self._whole) + len(chunk)
        if size > self._limit:
            raise Unavailable(f"the upstream sent a document of more than {self._limit} bytes")
        if self._make is not None and size > max(FLOOR, self._packed * self._ratio):
            raise Unavailable("the upstream sent a document that unpacks beyond all measure")
        self._whole += chunk
