"""Frozen values that go into and come out of the catalog, beside those of ``reliquary.types``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from reliquary.types import Digests, Entry, Grant, Scope


@dataclass(frozen=True, slots=True)
class NewFile:
    """A File row to write.

    Args:
        entry: what the index says.
        fragment: the entry as the index shows it.
        etag: without quotes.
        modified: Last-Modified, UTC.
        first_seen: when the file was first known here, UTC.
        blob: SHA-256 of stored bytes, or None while they are not here.
        size: bytes of the blob; the entry's size when None.
        digests: every digest that was computed of the blob.
        fetched_at: when the bytes came from an upstream, UTC.
        verified_by: which digest was checked.
        publisher: who published it.
    """

    entry: Entry
    fragment: bytes
    etag: str
    modified: datetime
    first_seen: datetime
    blob: str | None = None
    size: int | None = None
    digests: Digests = field(default_factory=dict)
    fetched_at: datetime | None = None
    verified_by: str | None = None
    publisher: str | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """What becomes of a proxy's rows when its page is read anew: rows to write, ids of rows to delete."""

    files: Sequence[NewFile] = ()
    gone: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is said of a package in the transaction that changes its files.

    Args:
        name: the package.
        values: facts to write; None removes one.
        defaults: facts that are written only where there are none of that name.
        clears: whether all facts go when no listed file is left, but for those on removed files.
    """

    name: str
    values: Mapping[str, str | None] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    clears: bool = False


@dataclass(frozen=True, slots=True)
class Touched:
    """What a write makes out of date: scopes, here and in the groups (ids) around the repository."""

    scopes: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened to a package; ``actor`` None is Reliquary itself."""

    action: str
    name: str
    version: str = ""
    filename: str = ""
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event with the serial of the change it came with and its time (UTC)."""

    serial: int
    name: str
    version: str
    filename: str
    action: str
    actor: str | None
    at: datetime


class ListedRow(NamedTuple):
    """A listed file, as much of it as assembly needs."""

    key: str
    name: str
    filename: str
    version: str
    fragment: bytes


class BlobUse(NamedTuple):
    """A row that names a blob: ``kind`` is the repository's (``hosted``, ``proxy``) for a file and
    ``page`` for a rendered page; ``size`` in bytes; ``repository`` is ``format/name``."""

    blob: str
    size: int
    repository: str
    key: str
    kind: str


class Evictable(NamedTuple):
    """A cached file that may be dropped; ``size`` in bytes, ``name`` its package's."""

    key: str
    blob: str
    size: int
    name: str


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user. ``password_hash`` None: no password opens this account."""

    name: str
    password_hash: str | None = field(repr=False)
    created: datetime
    admin: bool = False
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token; ``hash`` is of its secret, ``prefix`` what people may see of it.

    ``scopes`` None: all that its user may do. ``id`` is 0 until it was added.
    """

    name: str
    user: str
    hash: str = field(repr=False)
    prefix: str
    created: datetime
    scopes: tuple[Scope, ...] | None = None
    expires: datetime | None = None
    last_used: datetime | None = None
    revoked: datetime | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class AccountsSnapshot:
    """Every user, token (revoked ones too) and grant."""

    users: tuple[UserRow, ...] = ()
    tokens: tuple[TokenRow, ...] = ()
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job; ``state`` is ``queued``, ``running``, ``done`` or ``failed``."""

    id: int
    kind: str
    args: Mapping[str, Any]
    by: str | None
    state: str
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    outcome: Any = None
    error: str | None = None
