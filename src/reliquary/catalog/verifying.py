"""Walking over every row that names a blob."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import literal, select

from reliquary.catalog.database import Database, Query
from reliquary.catalog.records import BlobUse
from reliquary.catalog.tables import Blob, File, Page, Repository

STEP = 1000


def _file_uses(after: int) -> Query:
    return (
        select(File.id, File.blob, Blob.size, Repository.format, Repository.name, File.key, Repository.kind)
        .select_from(File)
        .join(Blob, Blob.digest == File.blob)
        .join(Repository, Repository.id == File.repository_id)
        .where(File.id > after)
        .order_by(File.id)
        .limit(STEP)
    )


def _page_uses(after: int) -> Query:
    kind = literal("page").label("kind")
    return (
        select(Page.id, Page.blob, Page.size, Repository.format, Repository.name, Page.path.label("key"), kind)
        .join(Repository, Repository.id == Page.repository_id)
        .where(Page.id > after)
        .order_by(Page.id)
        .limit(STEP)
    )


async def all_blobs(database: Database) -> AsyncIterator[BlobUse]:
    """Every file with bytes, then every page; rows written meanwhile may be left out."""
    for uses in (_file_uses, _page_uses):
        after = 0
        while True:
            # Step by step: a verification takes hours, and must not hold a connection for them.
            async with database.reading(large=True) as connection:
                rows = (await connection.execute(uses(after))).all()
            for row in rows:
                yield BlobUse(row.blob, row.size, f"{row.format}/{row.name}", row.key, row.kind)
            if len(rows) < STEP:
                break
            after = rows[-1].id
