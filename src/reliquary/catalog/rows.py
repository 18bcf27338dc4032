"""File rows to values and back."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select

from reliquary.catalog.database import AnyRow, Query
from reliquary.catalog.records import NewFile
from reliquary.catalog.tables import File, Package, Version
from reliquary.types import Entry, StoredFile

ENTRY_COLUMNS = ("version_id", "scope", "filename", "listed", "url", "digests", "published", "data", "fragment")
"""Columns that say what the index says; ``size`` is apart, since it is learned from bytes too."""

BYTES_COLUMNS = ("blob", "etag", "modified", "first_seen", "fetched_at", "verified_by", "publisher", "last_used")


def select_files() -> Query:
    """All that `stored_file` needs, to be narrowed by a WHERE."""
    return (
        select(
            File.id,
            File.repository_id,
            File.key,
            Package.name,
            Version.version,
            File.filename,
            File.scope,
            File.url,
            File.digests,
            File.size,
            File.published,
            File.listed,
            File.data,
            File.blob,
            File.etag,
            File.modified,
            File.first_seen,
            File.fetched_at,
            File.verified_by,
            File.publisher,
            File.fragment,
        )
        .select_from(File)
        .join(Version, Version.id == File.version_id)
        .join(Package, Package.id == Version.package_id)
    )


@cache
def files_in_scope() -> Query:
    """`select_files` of one scope (``repository``, ``scope``), in the order they were first known."""
    of = (File.repository_id == bindparam("repository"), File.scope == bindparam("scope"))
    return select_files().where(*of).order_by(File.id)


def stored_file(row: AnyRow) -> StoredFile:
    """A row of `select_files` as a value."""
    entry = Entry(
        key=row.key,
        name=row.name,
        version=row.version,
        filename=row.filename,
        scope=row.scope,
        url=row.url,
        digests=row.digests,
        size=row.size,
        published=row.published,
        listed=row.listed,
        data=row.data,
    )
    return StoredFile(
        id=row.id,
        repository_id=row.repository_id,
        entry=entry,
        blob=row.blob,
        size=row.size,
        etag=row.etag,
        modified=row.modified,
        first_seen=row.first_seen,
        fetched_at=row.fetched_at,
        verified_by=row.verified_by,
        publisher=row.publisher,
        fragment=row.fragment,
    )


def size_of(file: NewFile) -> int | None:
    """Bytes: of the blob if it is known, else what the index says."""
    return file.entry.size if file.size is None else file.size


def file_values(file: NewFile, repository_id: int, version_id: int, now: datetime) -> dict[str, Any]:
    """The columns of a new File row; ``now`` becomes the last use of bytes that are here."""
    entry = file.entry
    return {
        "repository_id": repository_id,
        "version_id": version_id,
        "key": entry.key,
        "scope": entry.scope,
        "filename": entry.filename,
        "listed": entry.listed,
        "url": entry.url,
        "digests": entry.digests,
        "size": size_of(file),
        "published": entry.published,
        "data": entry.data,
        "fragment": file.fragment,
        "blob": file.blob,
        "etag": file.etag,
        "modified": file.modified,
        "first_seen": file.first_seen,
        "fetched_at": file.fetched_at,
        "verified_by": file.verified_by,
        "publisher": file.publisher,
        "last_used": now if file.blob else None,
        "pinned": False,
    }
