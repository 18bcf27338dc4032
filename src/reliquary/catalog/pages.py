"""Pages: rendered variants, and what is known of the upstream documents behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, and_, bindparam, delete, literal, or_, select, true, update
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.ext.asyncio import AsyncConnection

from reliquary.catalog.database import AnyRow, Query, Topic, batches, unbroken
from reliquary.catalog.placing import insert
from reliquary.catalog.recording import latest, record
from reliquary.catalog.records import Touched
from reliquary.catalog.storing import put_blobs
from reliquary.catalog.tables import ChangeRow, Page, Upstream
from reliquary.types import StoredPage, UpstreamState

VARIANT = ("repository_id", "path", "media", "coding")
PAGE = ("path", "scope", "media", "coding", "blob", "size", "etag", "modified", "headers", "dirty", "serial")
STATE = ("path", "url", "status", "checked_at", "etag", "modified", "body", "gone_at", "since", "learned")


def _page(row: AnyRow) -> StoredPage:
    columns = {name: getattr(row, f"page_{name}") for name in PAGE}
    columns["headers"] = tuple((name, value) for name, value in columns["headers"])
    return StoredPage(**columns)


def _state(row: AnyRow) -> UpstreamState:
    return UpstreamState(**{name: getattr(row, f"state_{name}") for name in STATE})


def _page_columns() -> list[Any]:
    return [getattr(Page, name).label(f"page_{name}") for name in PAGE]


def _state_columns() -> list[Any]:
    return [getattr(Upstream, name).label(f"state_{name}") for name in STATE]


async def take_learned(connection: AsyncConnection, repository_id: int, path: str) -> bool:
    """Whether files taught something that the page does not say yet; from now on it does."""
    row = (await connection.execute(_state_at(), {"repository": repository_id, "at": path})).first()
    if row is None or not row.state_learned:
        return False
    of = (Upstream.repository_id == repository_id, Upstream.path == path)
    await connection.execute(update(Upstream).where(*of).values(learned=False))
    return True


async def put_state(connection: AsyncConnection, repository_id: int, state: UpstreamState) -> None:
    """Write what is known of an upstream document; what files taught is not forgotten by it."""
    values = {"repository_id": repository_id, **{name: getattr(state, name) for name in STATE}}
    await connection.execute(_upsert_state(connection.dialect.name), values)


@cache
def _upsert_state(dialect: str) -> Insert:
    statement = insert(dialect, Upstream)
    taken = {name: statement.excluded[name] for name in STATE if name not in ("path", "learned")}
    return statement.on_conflict_do_update(index_elements=["repository_id", "path"], set_=taken)


@cache
def _upsert_page(dialect: str) -> Insert:
    statement = insert(dialect, Page)
    taken = {name: statement.excluded[name] for name in PAGE if name not in VARIANT}
    return statement.on_conflict_do_update(index_elements=VARIANT, set_=taken)


@cache
def _at_paths() -> Query:
    of = (Page.repository_id == bindparam("repository"), Page.path.in_(bindparam("paths", expanding=True)))
    return select(*_page_columns()).where(*of)


async def _stored(connection: AsyncConnection, repository_id: int, pages: Sequence[StoredPage]) -> list[StoredPage]:
    found: list[StoredPage] = []
    for batch in batches({page.path for page in pages}):
        of = {"repository": repository_id, "paths": batch}
        found.extend(_page(row) for row in await connection.execute(_at_paths(), of))
    return found


def _dated(page: StoredPage, old: StoredPage | None) -> StoredPage:
    if old is None:
        return page
    # Clients compare the time alone: the same bytes keep it, other bytes never get an earlier one.
    modified = old.modified if old.etag == page.etag else max(old.modified, page.modified)
    return replace(page, modified=modified)


@cache
def _since() -> Query:
    """A change after one, of a scope in some repositories or of the configuration."""
    sources: BindParameter[Any] = bindparam("sources", expanding=True)
    concerns = and_(ChangeRow.repository_id.in_(sources), ChangeRow.scope == bindparam("scope"))
    query = select(ChangeRow.seq).where(ChangeRow.seq > bindparam("seen"), or_(concerns, ChangeRow.scope.is_(None)))
    return query.limit(1)


async def _changed_since(
    connection: AsyncConnection, seen: int, built: int, sources: Sequence[int], scope: str
) -> bool:
    of = {"seen": seen, "sources": sources, "scope": scope}
    return (await connection.execute(_since(), of)).first() is not None


@cache
def _with_state() -> Query:
    """All variants of a page and the state behind it; a row of nothing where there is neither."""
    anchor = select(literal(1).label("one")).subquery()
    page = and_(true(), Page.repository_id == bindparam("repository"), Page.path == bindparam("at"))
    state = and_(true(), Upstream.repository_id == bindparam("repository"), Upstream.path == bindparam("at"))
    query = select(*_page_columns(), *_state_columns()).select_from(anchor)
    return query.outerjoin(Page, page).outerjoin(Upstream, state).order_by(Page.id)


@cache
def _state_at() -> Query:
    of = (Upstream.repository_id == bindparam("repository"), Upstream.path == bindparam("at"))
    return select(*_state_columns()).where(*of)


class Pages(Topic):
    """The pages of all repositories."""

    async def find(self, repository_id: int, path: str) -> tuple[list[StoredPage], UpstreamState | None]:
        """All variants of a page and the state of the upstream document behind it."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(_with_state(), {"repository": repository_id, "at": path})).all()
        pages = [_page(row) for row in rows if row.page_path is not None]
        return pages, _state(rows[0]) if rows[0].state_path is not None else None

    @unbroken
    async def write(
        self,
        repository_id: int,
        pages: Sequence[StoredPage],
        *,
        seen: int,
        sources: Sequence[int],
        scope: str,
        built: int | None = None,
    ) -> list[StoredPage]:
        """Store variants whose blobs are stored already.

        Args:
            seen: the highest change (`seen`) before the rows they were rendered from were read.
            built: the highest change before the configuration they were rendered under was read;
                ``seen`` when None.
            sources: ids of the repositories they were rendered from.
            scope: what was rendered.

        Returns:
            The pages as stored: dirty when the scope changed in a source after ``seen``, and with
            the time of an earlier page of the same ETag.
        """
        async with self._database.writing(durable=False) as connection:
            await put_blobs(connection, {page.blob: (page.blob, page.size, {}) for page in pages}.values(), _now())
            old = {
                (page.path, page.media, page.coding): page for page in await _stored(connection, repository_id, pages)
            }
            dirty = await _changed_since(connection, seen, seen if built is None else built, sources, scope)
            written = [
                replace(_dated(page, old.get((page.path, page.media, page.coding))), dirty=dirty) for page in pages
            ]
            if written:
                await self._put(connection, repository_id, written)
        return written

    async def _put(self, connection: AsyncConnection, repository_id: int, pages: Sequence[StoredPage]) -> None:
        rows = [{"repository_id": repository_id, **{name: getattr(page, name) for name in PAGE}} for page in pages]
        await connection.execute(_upsert_page(connection.dialect.name), rows)

    async def seen(self) -> int:
        """The highest change; to be asked before the rows of a page are read."""
        async with self._database.reading() as connection:
            return await latest(connection)

    @unbroken
    async def drop(self, repository_id: int, scope: str | None) -> None:
        """Forget the pages of a scope, or of the whole repository (None)."""
        statement = delete(Page).where(Page.repository_id == repository_id)
        if scope is not None:
            statement = statement.where(Page.scope == scope)
        async with self._database.writing(durable=False) as connection:
            await connection.execute(statement)

    async def state(self, repository_id: int, path: str) -> UpstreamState | None:
        """What is known of the upstream document behind a path."""
        async with self._database.reading() as connection:
            row = (await connection.execute(_state_at(), {"repository": repository_id, "at": path})).first()
        return None if row is None else _state(row)

    @unbroken
    async def set_state(self, repository_id: int, state: UpstreamState, touched: Touched | None = None) -> None:
        """Write what is known of an upstream document; no page changes by it but those that are ``touched``."""
        async with self._database.writing(durable=False) as connection:
            await put_state(connection, repository_id, state)
            if touched is not None:
                await record(connection, repository_id, touched)

    @unbroken
    async def confirm(self, repository_id: int, state: UpstreamState, touched: Touched, *, back: bool = False) -> bool:
        """The upstream says that its document is as it was.

        Args:
            back: it was gone meanwhile, and pages were rendered without it.

        Returns:
            Whether files had taught something since the pages were rendered; these are dirty now.
        """
        async with self._database.writing(durable=False) as connection:
            learned = await take_learned(connection, repository_id, state.path)
            await put_state(connection, repository_id, state)
            if learned or back:
                await record(connection, repository_id, touched)
        return learned


def _now() -> datetime:
    return datetime.now(UTC)
