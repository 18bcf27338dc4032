"""What a repository answers, whatever its kind: hits that say where bytes are, never bytes alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol, TypeAlias

from reliquary.blobs.fill import Fill
from reliquary.formats.base import Call, FileKey, Format, PageKey
from reliquary.formats.verbs import Shelf
from reliquary.types import Action, Headers, RepositorySpec, Rule, StoredFile

FOREVER = float("inf")
Reach: TypeAlias = Callable[[int, int], AbstractAsyncContextManager[AsyncIterator[bytes] | None]]
"""Asks the upstream for bytes from, to (exclusive); None inside where it gives no ranges."""
Permit: TypeAlias = Callable[[RepositorySpec, Action, str], Awaitable[None]]
"""Asks whether the actor of a request may do something to a package; raises when not."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file whose bytes are here. ``owner`` is the repository whose row named it."""

    blob: str
    size: int
    etag: str
    modified: datetime
    owner: RepositorySpec


@dataclass(frozen=True, slots=True)
class Flowing:
    """A file whose bytes are on their way.

    ``size`` is None until the upstream tells it; ``reach`` asks the upstream for a range far
    ahead of the fill: (start, stop) in bytes to a context that yields the chunks, or None inside.
    """

    fill: Fill[None]
    size: int | None
    etag: str | None
    modified: datetime | None
    owner: RepositorySpec
    reach: Reach


@dataclass(frozen=True, slots=True)
class Known:
    """What a HEAD of a cold file needs: no bytes were asked for."""

    size: int | None
    etag: str | None
    modified: datetime | None
    owner: RepositorySpec


FileHit: TypeAlias = Stored | Flowing | Known


@dataclass(frozen=True, slots=True)
class PageHit:
    """One variant of a page. ``body`` is here for all but very large ones. ``stale`` marks a page
    that its upstream could not confirm, ``partial`` one that lacks a member that is down."""

    media: str
    coding: str
    blob: str
    size: int
    etag: str
    modified: datetime
    headers: Headers
    body: bytes | None
    stale: bool = False
    partial: bool = False


class Row(NamedTuple):
    """A listed file on its way into a page: what rules and merging look at, and its fragment, or as
    much of it as the page's media type needs. A tuple, since pages of ten thousand files make as many."""

    key: str
    name: str
    filename: str
    version: str
    fragment: bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """What a page is made of, before it is assembled or merged."""

    rows: Sequence[Row] = ()
    names: Sequence[tuple[str, int]] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Freshness:
    """Until when (on the monotonic clock) what is stored may be served without asking again.
    ``stale``: an upstream did not confirm it; ``partial``: a member is down and was left out."""

    until: float = FOREVER
    stale: bool = False
    partial: bool = False


class Around(Protocol):
    """A group, as a member's shelf sees it."""

    @property
    def spec(self) -> RepositorySpec:
        """Its configuration."""

    async def open(self, names: set[str]) -> set[str]:
        """Those of the names that upstreams may give here: no hosted member owns them, no rule forbids it."""


@dataclass(frozen=True, slots=True)
class Company:
    """What is around a shelf.

    Args:
        screen: rules of the groups that a question came through; names they deny stay unknown.
        groups: these groups, the outermost one first.
        beside: the shelves of a group's other members, for what the first one does not know, and for questions about
            no name in particular.
        elsewhere: the shelves of a group's other members while something is published.
    """

    screen: tuple[Rule, ...] = ()
    groups: tuple[Around, ...] = ()
    beside: tuple[Shelf, ...] = ()
    elsewhere: tuple[Shelf, ...] = ()


ALONE = Company()


class Repository(Protocol):
    """One repository as web, groups and jobs use it."""

    @property
    def spec(self) -> RepositorySpec:
        """How it is configured."""

    @property
    def format(self) -> Format:
        """The format it is of."""

    async def file(self, key: FileKey, *, head: bool = False) -> FileHit:
        """Where the file's bytes are; raises NotHere, Unavailable."""

    async def page(self, key: PageKey, media: str, codings: Sequence[str]) -> PageHit:
        """A page in a media type, in the first of the codings that suits; raises NotHere, Unavailable."""

    async def settle(self, key: PageKey) -> Freshness:
        """Make sure that what is stored for the page is fresh enough; raises NotHere, Unavailable."""

    async def contents(self, key: PageKey, media: str) -> Contents:
        """What the settled page is made of in a media type; raises NotHere, Unavailable."""

    async def rows(self, name: str) -> Sequence[StoredFile]:
        """The package's files as far as they are known here, sidecars too; no upstream is asked."""

    async def owns(self, names: Sequence[str]) -> set[str]:
        """Which of the names are packages that hosted repositories in here hold."""

    async def claims(self) -> set[str]:
        """All that `owns` would find."""

    async def lost(self, key: FileKey, blob: str) -> bool:
        """A blob turned out to be missing: forget it; True when asking again may bring it back."""

    def target(self) -> Repository | None:
        """The hosted repository that publishing here goes to, or None."""

    async def shelf(self, publisher: str | None, permit: Permit, call: Call, company: Company = ALONE) -> Shelf:
        """The shelf that a verb or query works on; raises WrongMethod where none can."""
