"""The schema. Mapped classes give names and types to columns; no session ever loads one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    false,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Utc(TypeDecorator[datetime]):
    """An aware time: stored in UTC, read back with UTC whatever the database keeps."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def plain(value: object) -> Any:
    """What JSON has for the containers that frozen values use."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


class Json(TypeDecorator[Any]):
    """A JSON document as text; None is SQL's NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value, default=plain).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else orjson.loads(value)


# SQLite counts only in INTEGER columns.
Id = BigInteger().with_variant(Integer, "sqlite")
Digest = String(64)


class Base(DeclarativeBase):
    """The root of the mapped classes."""

    metadata = MetaData(naming_convention=NAMING)


def serial_key() -> Mapped[int]:
    """A number that is given once and never again, even when its row is gone."""
    return mapped_column(Id, primary_key=True, autoincrement=True)


def reference(target: str) -> Mapped[int]:
    """A foreign key whose row goes with its target."""
    return mapped_column(Id, ForeignKey(target, ondelete="CASCADE"))


class Repository(Base):
    """A named place of one format. ``remotes`` may hold passwords."""

    __tablename__ = "repositories"
    __table_args__ = (
        Index(None, "format", "name", unique=True),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = serial_key()
    format: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16))
    remotes: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    rules: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    options: Mapped[dict[str, Any]] = mapped_column(Json)
    anonymous_read: Mapped[bool]
    declared: Mapped[bool]
    serial: Mapped[int] = mapped_column(Id)


class Member(Base):
    """A repository inside a group, in order."""

    __tablename__ = "members"
    group_id: Mapped[int] = mapped_column(Id, ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    member_id: Mapped[int] = mapped_column(Id, ForeignKey("repositories.id", ondelete="CASCADE"), index=True)


class Package(Base):
    """A package name; ``serial`` is the change that last touched it."""

    __tablename__ = "packages"
    __table_args__ = (
        Index(None, "repository_id", "name", unique=True),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = serial_key()
    repository_id: Mapped[int] = reference("repositories.id")
    name: Mapped[str] = mapped_column(Text)
    serial: Mapped[int] = mapped_column(Id)


class Version(Base):
    """A version of a package that has files."""

    __tablename__ = "versions"
    __table_args__ = (
        Index(None, "package_id", "version", unique=True),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = serial_key()
    package_id: Mapped[int] = reference("packages.id")
    version: Mapped[str] = mapped_column(Text)


class Blob(Base):
    """Bytes that some row points at, or did until the next sweep."""

    __tablename__ = "blobs"
    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    digests: Mapped[dict[str, str]] = mapped_column(Json)
    created: Mapped[datetime] = mapped_column(Utc)


class File(Base):
    """A file as an index lists it, and what is known of its bytes."""

    __tablename__ = "files"
    __table_args__ = (
        Index(None, "repository_id", "key", unique=True),
        Index(None, "repository_id", "scope"),
        Index(None, "repository_id", "last_used"),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = serial_key()
    version_id: Mapped[int] = mapped_column(Id, ForeignKey("versions.id", ondelete="CASCADE"), index=True)
    repository_id: Mapped[int] = reference("repositories.id")
    key: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(Text)
    filename: Mapped[str] = mapped_column(Text)
    listed: Mapped[bool]
    url: Mapped[str | None] = mapped_column(Text)
    digests: Mapped[dict[str, str]] = mapped_column(Json)
    size: Mapped[int | None] = mapped_column(BigInteger)
    published: Mapped[datetime | None] = mapped_column(Utc)
    data: Mapped[dict[str, Any]] = mapped_column(Json)
    fragment: Mapped[bytes] = mapped_column(LargeBinary)
    blob: Mapped[str | None] = mapped_column(Digest, ForeignKey("blobs.digest"), index=True)
    etag: Mapped[str] = mapped_column(Text)
    modified: Mapped[datetime] = mapped_column(Utc)
    first_seen: Mapped[datetime] = mapped_column(Utc)
    fetched_at: Mapped[datetime | None] = mapped_column(Utc)
    verified_by: Mapped[str | None] = mapped_column(Text)
    publisher: Mapped[str | None] = mapped_column(Text)
    last_used: Mapped[datetime | None] = mapped_column(Utc)
    pinned: Mapped[bool]
    downloads: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class Property(Base):
    """A fact on a package, version or file (``kind``)."""

    __tablename__ = "properties"
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    owner_id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Page(Base):
    """One variant of a rendered page."""

    __tablename__ = "pages"
    __table_args__ = (
        Index(None, "repository_id", "path", "media", "coding", unique=True),
        Index(None, "repository_id", "scope"),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = serial_key()
    repository_id: Mapped[int] = reference("repositories.id")
    path: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(Text)
    media: Mapped[str] = mapped_column(Text)
    coding: Mapped[str] = mapped_column(String(16))
    blob: Mapped[str] = mapped_column(Digest, ForeignKey("blobs.digest"), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    etag: Mapped[str] = mapped_column(Text)
    modified: Mapped[datetime] = mapped_column(Utc)
    headers: Mapped[list[list[str]]] = mapped_column(Json)
    dirty: Mapped[bool]
    serial: Mapped[int] = mapped_column(Id)


class Upstream(Base):
    """What a proxy knows of the document behind a page or file; ``body`` may have no Blob row."""

    __tablename__ = "upstream_states"
    repository_id: Mapped[int] = mapped_column(Id, ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(Text, primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    status: Mapped[int] = mapped_column(Integer)
    checked_at: Mapped[datetime] = mapped_column(Utc)
    etag: Mapped[str | None] = mapped_column(Text)
    modified: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str | None] = mapped_column(Digest, index=True)
    gone_at: Mapped[datetime | None] = mapped_column(Utc)
    since: Mapped[datetime | None] = mapped_column(Utc)
    learned: Mapped[bool] = mapped_column(server_default=false())


class ChangeRow(Base):
    """What to forget. No foreign key: the row outlives its repository."""

    __tablename__ = "changes"
    __table_args__ = (
        Index(None, "repository_id", "scope", "seq"),
        {"sqlite_autoincrement": True},
    )
    seq: Mapped[int] = serial_key()
    repository_id: Mapped[int | None] = mapped_column(Id)
    scope: Mapped[str | None] = mapped_column(Text)


class User(Base):
    """Somebody who may log in."""

    __tablename__ = "users"
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    password_hash: Mapped[str | None] = mapped_column(Text)
    admin: Mapped[bool]
    disabled: Mapped[bool]
    created: Mapped[datetime] = mapped_column(Utc)


class Token(Base):
    """A token of a user, by the hash of its secret."""

    __tablename__ = "tokens"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = serial_key()
    name: Mapped[str] = mapped_column(Text)
    user: Mapped[str] = mapped_column(Text, ForeignKey("users.name", ondelete="CASCADE"), index=True)
    hash: Mapped[str] = mapped_column(Text, index=True)
    prefix: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[dict[str, Any]] | None] = mapped_column(Json)
    expires: Mapped[datetime | None] = mapped_column(Utc)
    last_used: Mapped[datetime | None] = mapped_column(Utc)
    created: Mapped[datetime] = mapped_column(Utc)
    revoked: Mapped[datetime | None] = mapped_column(Utc)


class Login(Base):
    """A login that was begun by a client and is ended by a person, by the hashes of its secrets."""

    __tablename__ = "logins"
    page: Mapped[str] = mapped_column(Digest, primary_key=True)
    secret: Mapped[str] = mapped_column(Digest, index=True)
    title: Mapped[str] = mapped_column(Text)
    user: Mapped[str | None] = mapped_column(Text, ForeignKey("users.name", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(Utc)
    expires: Mapped[datetime] = mapped_column(Utc, index=True)


class Key(Base):
    """A key that documents are signed with."""

    __tablename__ = "keys"
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    private: Mapped[str] = mapped_column(Text)
    public: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Utc)
    expires: Mapped[datetime | None] = mapped_column(Utc)


class GrantRow(Base):
    """What a user may do where."""

    __tablename__ = "grants"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = serial_key()
    user: Mapped[str] = mapped_column(Text, ForeignKey("users.name", ondelete="CASCADE"), index=True)
    repositories: Mapped[str] = mapped_column(Text)
    packages: Mapped[str] = mapped_column(Text)
    actions: Mapped[list[str]] = mapped_column(Json)


class Event(Base):
    """What happened to a package, for listings of changes."""

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "repository_id", "serial"),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = serial_key()
    repository_id: Mapped[int] = reference("repositories.id")
    serial: Mapped[int] = mapped_column(Id)
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    filename: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    actor: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Utc)


class Job(Base):
    """Work that is queued, under way or done."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "state", "id"),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = serial_key()
    kind: Mapped[str] = mapped_column(Text)
    args: Mapped[dict[str, Any]] = mapped_column(Json)
    by: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime] = mapped_column(Utc)
    started: Mapped[datetime | None] = mapped_column(Utc)
    finished: Mapped[datetime | None] = mapped_column(Utc)
    outcome: Mapped[Any] = mapped_column(Json, nullable=True)
    error: Mapped[str | None] = mapped_column(Text)
