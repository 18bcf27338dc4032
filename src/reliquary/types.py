"""Frozen values that every part of Reliquary shares.

Nothing here does I/O and nothing here knows a package format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

Digests: TypeAlias = Mapping[str, str]
"""Digest algorithm (``sha256``, ``md5``, ``blake2b_256``) to lower-case hexadecimal text."""

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Extra answer headers, names in lower case, in the order they are sent."""

NOTHING: Mapping[str, Any] = {}
"""The empty mapping that frozen values use as a default; never written to."""


class Kind(StrEnum):
    """How a repository comes by its packages."""

    HOSTED = "hosted"
    PROXY = "proxy"
    GROUP = "group"


class Action(StrEnum):
    """What somebody may be allowed to do; token scopes and grants use the same words."""

    READ = "read"
    PUBLISH = "publish"
    DELETE = "delete"
    ADMIN = "admin"


class Verdict(StrEnum):
    """What a rule says of the names it matches.

    ``allow`` opens a name that a hosted member owns to the proxies of a group, or lets a name
    pass where a later ``deny`` would stop it; ``deny`` hides it; ``owned`` keeps it from ever
    being asked of, or taken from, a proxy.
    """

    ALLOW = "allow"
    DENY = "deny"
    OWNED = "owned"


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy on package names: the first rule whose glob ``pattern`` matches decides."""

    verdict: Verdict
    pattern: str


@dataclass(frozen=True, slots=True)
class Remote:
    """One HTTP base behind a proxy repository.

    ``source`` tells where the address was found (``settings``, ``pip configuration``, ...).
    The password never shows in ``repr``.
    """

    url: str
    source: str = "settings"
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RepositorySpec:
    """A repository as it is configured, the same for every format.

    ``options`` holds the switches that have a meaning for its kind or its format (see
    docs/settings.md); the core reads the ones it knows by name. ``members`` are repository
    names of the same format, in order, for a group. ``serial`` is the change that last touched
    the configuration. ``declared`` is true for what the settings file declares: it cannot be
    edited elsewhere.
    """

    id: int
    format: str
    name: str
    kind: Kind
    remotes: tuple[Remote, ...] = ()
    members: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    anonymous_read: bool = True
    declared: bool = False
    serial: int = 0

    @property
    def title(self) -> str:
        """``format/name``, the way people and addresses name it."""
        return f"{self.format}/{self.name}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as an index lists it.

    The core reads every field except ``data``, which belongs to the format. ``key`` is the
    path below the repository at which the file is served; ``scope`` is what one assembly
    renders together (a project, a folder). ``digests`` and ``size`` (bytes) are what the index
    said, possibly nothing. ``listed`` is false for sidecars: served, never in a listing.
    """

    key: str
    name: str
    version: str
    filename: str
    scope: str
    url: str | None = None
    digests: Digests = field(default_factory=dict)
    size: int | None = None
    published: datetime | None = None
    listed: bool = True
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A File row: an entry and what Reliquary knows of its bytes.

    ``blob`` is the SHA-256 of stored bytes, or None while they are not here. ``etag`` (without
    quotes) and ``modified`` are fixed when the row is made and never change for immutable files.
    ``verified_by`` names the digest that was checked, ``unverified``, or ``published``.
    """

    id: int
    repository_id: int
    entry: Entry
    blob: str | None
    size: int | None
    etag: str
    modified: datetime
    first_seen: datetime
    fetched_at: datetime | None = None
    verified_by: str | None = None
    publisher: str | None = None
    fragment: bytes = b""


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A Page row: one variant (media type and coding) of a rendered page, as a blob.

    ``etag`` carries no quotes. ``coding`` is ``identity``, ``gzip`` or ``zstd``. ``dirty`` says
    that what it was rendered from has changed since.
    """

    path: str
    scope: str
    media: str
    coding: str
    blob: str
    size: int
    etag: str
    modified: datetime
    headers: Headers = ()
    dirty: bool = False
    serial: int = 0


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """What a proxy knows of the upstream document behind one of its pages or files.

    ``status`` is the last conclusive HTTP status (200, 404). ``checked_at`` is when the
    upstream last confirmed it, ``body`` the blob in which a page's document is kept, or a
    file's bytes, ``gone_at`` when the upstream first said it no longer has what we still have.
    ``since`` is when a page was first taken, ``learned`` whether files that arrived taught
    something that its rendered page does not say yet.
    """

    path: str
    url: str
    status: int
    checked_at: datetime
    etag: str | None = None
    modified: str | None = None
    body: str | None = None
    gone_at: datetime | None = None
    since: datetime | None = None
    learned: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A row that tells every process what to forget. ``scope`` None: the configuration."""

    seq: int
    repository_id: int | None
    scope: str | None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. ``name`` None is the anonymous reader."""

    name: str | None = None
    admin: bool = False
    token_id: int | None = None
    scopes: tuple[Scope, ...] | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """One line of what a token may do: actions, on repositories by glob, on packages by glob.

    Package patterns bind publish and delete only; read rights are per repository.
    """

    actions: frozenset[Action]
    repositories: tuple[str, ...] = ("*",)
    packages: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one user may do in repositories whose ``format/name`` matches the glob."""

    user: str
    repositories: str
    actions: frozenset[Action]
    packages: str = "*"
