"""Values that the catalog's tests write."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from reliquary.catalog.engine import Catalog
from reliquary.catalog.records import NewFile, Touched
from reliquary.types import Entry, Kind, RepositorySpec, StoredPage, UpstreamState

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def digest(text: str) -> str:
    """The name of a blob that holds ``text``."""
    return sha256(text.encode()).hexdigest()


def new_file(filename: str, name: str = "six", *, content: str | None = None, **entry: Any) -> NewFile:
    """A file of a package, with bytes when there is content."""
    made = Entry(
        key=entry.pop("key", f"{name}/{filename}"),
        name=name,
        version=entry.pop("version", "1.0"),
        filename=filename,
        scope=entry.pop("scope", name),
        **entry,
    )
    blob = None if content is None else digest(content)
    return NewFile(
        entry=made,
        fragment=f"<{filename}>".encode() if made.listed else b"",
        etag=blob or digest(filename),
        modified=NOW,
        first_seen=NOW,
        blob=blob,
        size=None if content is None else len(content),
        digests={} if blob is None else {"sha256": blob},
    )


def with_data(file: NewFile, **data: Any) -> NewFile:
    """The same file with other data and a fragment that shows it."""
    return replace(file, entry=replace(file.entry, data=data), fragment=repr(data).encode())


def new_page(content: str, path: str = "six/", *, scope: str = "six", modified: datetime = NOW) -> StoredPage:
    """A rendered page."""
    return StoredPage(
        path=path,
        scope=scope,
        media="text/html",
        coding="identity",
        blob=digest(content),
        size=len(content),
        etag=digest(content)[:20],
        modified=modified,
        headers=(("x-serial", "1"),),
    )


def new_state(path: str = "six/", **values: Any) -> UpstreamState:
    """What an upstream said of a page."""
    return UpstreamState(path=path, url=f"https://index.example/{path}", status=200, checked_at=NOW, **values)


def touched(*scopes: str, groups: tuple[int, ...] = ()) -> Touched:
    """Scopes out of date."""
    return Touched(scopes or ("six",), groups)


async def new_repository(catalog: Catalog, name: str, kind: Kind = Kind.HOSTED, **values: Any) -> int:
    """A repository; returns its id."""
    spec = RepositorySpec(id=0, format=values.pop("format", "pypi"), name=name, kind=kind, **values)
    return (await catalog.repositories.create(spec)).id
