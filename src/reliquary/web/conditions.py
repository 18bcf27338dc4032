"""Conditional and range requests (RFC 9110, sections 13 and 14), as pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

from reliquary.errors import PreconditionFailed, RangeUnsatisfiable

LONGEST = 4096
"""Characters of If-None-Match and Range that are looked at."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``start`` to ``stop`` (exclusive) of a representation."""

    start: int
    stop: int


def quoted(etag: str) -> str:
    """A strong entity tag as it is sent."""
    return f'"{etag}"'


@lru_cache(maxsize=4096)
def http_date(seconds: int) -> str:
    """An IMF-fixdate from seconds since the epoch."""
    at = datetime.fromtimestamp(seconds, UTC)
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{days[at.weekday()]}, {at.day:02} {months[at.month - 1]} {at.year:04} {at:%H:%M:%S} GMT"


def stamp(modified: datetime, now: datetime) -> datetime:
    """Last-Modified to send: whole seconds, never in the future, and within the second of the
    change the second before, so that two changes in one second never share a validator."""
    whole = modified.replace(microsecond=0)
    this = now.replace(microsecond=0)
    return this - timedelta(seconds=1) if whole >= this else whole


def check(headers: Mapping[str, str], etag: str | None, modified: datetime | None) -> bool:
    """Whether the answer is 304 (RFC 9110, section 13.2.2).

    ``modified`` is the true second of the change: within that second the date that is sent lies
    before it, so that a copy taken then is never taken for the last one.

    Raises:
        PreconditionFailed: If-Match or If-Unmodified-Since does not hold.
    """
    if (match := headers.get("if-match")) is not None:
        if match.strip() != "*" and not _listed(match, etag, strong=True):
            raise PreconditionFailed("If-Match names another version than the one that is here")
    elif (since := _date(headers.get("if-unmodified-since"))) is not None and modified and modified > since:
        raise PreconditionFailed("it changed since the date in If-Unmodified-Since")
    if (none := headers.get("if-none-match")) is not None:
        return none.strip() == "*" or _listed(none, etag, strong=False)
    since = _date(headers.get("if-modified-since"))
    return since is not None and modified is not None and modified <= since


def _listed(header: str, etag: str | None, *, strong: bool) -> bool:
    if etag is None:
        return False
    for item in header[:LONGEST].split(","):
        tag = item.strip()
        if tag.startswith("W/"):
            if strong:
                continue
            tag = tag[2:]
        if tag == f'"{etag}"':
            return True
    return False


def _date(text: str | None) -> datetime | None:
    if not text or len(text) > 64:
        return None
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def span(headers: Mapping[str, str], size: int | None, etag: str | None, modified: datetime | None) -> Span | None:
    """The one range asked for, or None for the whole: no Range, several, other units, bad syntax,
    an If-Range that does not hold, or a size that is not known yet.

    Raises:
        RangeUnsatisfiable: it starts past the end.
    """
    text = headers.get("range")
    if text is None or size is None or not _unchanged(headers.get("if-range"), etag, modified):
        return None
    unit, equals, value = text[:LONGEST].partition("=")
    if unit.strip().lower() != "bytes" or not equals or "," in value:
        return None
    first, dash, last = value.strip().partition("-")
    if not dash or not (_digits(first) or not first) or not (_digits(last) or not last) or not (first or last):
        return None
    return _cut(first, last, size)


def _cut(first: str, last: str, size: int) -> Span | None:
    if not first:
        length = int(last)
        if length == 0 or size == 0:
            raise RangeUnsatisfiable(size)
        return Span(max(0, size - length), size)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeUnsatisfiable(size)
    return Span(start, min(int(last) + 1, size) if last else size)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _unchanged(condition: str | None, etag: str | None, modified: datetime | None) -> bool:
    """If-Range: a strong ETag or the exact date (RFC 9110, section 13.1.5)."""
    if condition is None:
        return True
    text = condition.strip()
    if text.startswith(('"', "W/")):
        return etag is not None and text == f'"{etag}"'
    return modified is not None and _date(text) == modified
