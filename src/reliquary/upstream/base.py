"""The upstream protocol: what stands behind a proxy repository, seen as answers to questions.

Every failure to get a usable answer is `Unavailable`; what the upstream conclusively says
(here it is, unchanged, not there) is a value.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Validators:
    """What a conditional request carries, both as the upstream sent them."""

    etag: str | None = None
    modified: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A whole, usable 200: ``url`` after redirects, headers with lower-case names, and the body
    with any coding undone."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    validators: Validators = field(default_factory=Validators)

    @property
    def content_type(self) -> str:
        """Media type in lower case, without parameters; "" when there was none."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


class Unchanged:
    """304 to a conditional request."""


class Missing:
    """404 or 410: the upstream says it has no such thing."""


class Answer(Protocol):
    """A 200 or 206 whose body is still to come."""

    @property
    def status(self) -> int:
        """200 or 206."""

    @property
    def url(self) -> str:
        """Where it came from, after redirects."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Allow-listed headers, names in lower case."""

    @property
    def size(self) -> int | None:
        """Content-Length in bytes, when there was one."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The raw bytes. Raises Unavailable when they stop early, drip too slowly, are cut, or are
        more than were promised."""


class Upstream(Protocol):
    """One configured base."""

    @property
    def base(self) -> str:
        """Its address, with a final slash, without credentials."""

    async def fetch(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        validators: Validators | None = None,
        limit: int = 268_435_456,
        body: bytes | None = None,
        aside: bool = False,
    ) -> Document | Unchanged | Missing:
        """Get a whole document of at most ``limit`` bytes, unpacked; retries within a budget. With a
        ``body`` of JSON the question is a POST.

        Args:
            aside: what comes of it says nothing of the upstream's packages: it is tried once, and an
                error that is answered is not held against the host.
        """

    def open(
        self, url: str, *, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> AbstractAsyncContextManager[Answer | Unchanged | Missing]:
        """Begin a download with identity coding (or a HEAD)."""

    async def close(self) -> None:
        """Close connections."""
