"""Files: what is asked and written of File rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Update, bindparam, delete, func, or_, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from reliquary.catalog import caching, publishing, verifying
from reliquary.catalog.database import Query, Topic, batches, table, unbroken
from reliquary.catalog.packages import is_owned
from reliquary.catalog.pages import put_state, take_learned
from reliquary.catalog.recording import record, record_now
from reliquary.catalog.records import BlobUse, Evictable, Facts, ListedRow, NewEvent, NewFile, Renewal, Touched
from reliquary.catalog.rows import files_in_scope, select_files, stored_file
from reliquary.catalog.tables import Blob, File, Package, Page, Upstream, Version
from reliquary.failpoints import reach
from reliquary.types import StoredFile, UpstreamState

SIDECAR = 65_536
"""Bytes up to which unlisted files stay when a cache makes room: sidecars. Larger ones are files
that newer bytes of the same name superseded."""


# Statements that are run all the time are made once: making one costs more than running it.


@cache
def _at_key() -> Query:
    return select_files().where(
        File.repository_id.in_(bindparam("repositories", expanding=True)), File.key == bindparam("key")
    )


@cache
def _listed() -> Query:
    of = (File.repository_id == bindparam("repository"), File.scope == bindparam("scope"), File.listed)
    query = select(File.key, Package.name, File.filename, Version.version, File.fragment).select_from(File)
    joined = query.join(Version, Version.id == File.version_id).join(Package, Package.id == Version.package_id)
    return joined.where(*of).order_by(File.id)


@cache
def _of_package() -> Query:
    of = (Package.repository_id == bindparam("repository"), Package.name == bindparam("name"))
    return select_files().where(*of).order_by(File.id)


@cache
def _downloads() -> Query:
    of = (Package.repository_id == bindparam("repository"), Package.name == bindparam("name"), File.downloads > 0)
    query = select(File.key, File.downloads).select_from(File)
    return query.join(Version, Version.id == File.version_id).join(Package, Package.id == Version.package_id).where(*of)


@cache
def _use() -> Update:
    files = table(File)
    last = func.coalesce(bindparam("at", type_=files.c.last_used.type), files.c.last_used)
    return (
        update(files)
        .where(files.c.repository_id == bindparam("of"), files.c.key == bindparam("under"))
        .values(last_used=last, downloads=files.c.downloads + bindparam("more"))
    )


@cache
def _owned() -> Query:
    return select(Package.repository_id, Package.name).where(
        Package.repository_id.in_(bindparam("repositories", expanding=True)),
        Package.name.in_(bindparam("names", expanding=True)),
        is_owned(),
    )


class Files(Topic):
    """The files of all repositories."""

    async def _select(self, query: Query, of: Mapping[str, Any], *, large: bool = False) -> list[StoredFile]:
        async with self._database.reading(large=large) as connection:
            return [stored_file(row) for row in await connection.execute(query, of)]

    async def find(self, repository_ids: Sequence[int], key: str) -> list[StoredFile]:
        """The rows with this key, in the order of ``repository_ids``."""
        found = await self._select(_at_key(), {"repositories": repository_ids, "key": key})
        order = {repository_id: position for position, repository_id in enumerate(repository_ids)}
        return sorted(found, key=lambda file: order[file.repository_id])

    async def in_scope(self, repository_id: int, scope: str) -> list[StoredFile]:
        """The scope's files, sidecars too, in the order they were first known."""
        return await self._select(files_in_scope(), {"repository": repository_id, "scope": scope}, large=True)

    async def of_package(self, repository_id: int, name: str) -> list[StoredFile]:
        """The package's files, sidecars too, in the order they were first known."""
        return await self._select(_of_package(), {"repository": repository_id, "name": name}, large=True)

    async def listed(self, repository_id: int, scope: str) -> list[ListedRow]:
        """What assembly needs of the scope's listed files, in the order they were first known."""
        of = {"repository": repository_id, "scope": scope}
        async with self._database.reading(large=True) as connection:
            return [ListedRow(*row) for row in await connection.execute(_listed(), of)]

    async def owned(self, repository_ids: Sequence[int], names: Sequence[str]) -> set[tuple[int, str]]:
        """Which (repository id, package name) have at least one file, or had one: a name whose files
        were all removed is still its owner's."""
        found: set[tuple[int, str]] = set()
        async with self._database.reading() as connection:
            for batch in batches(names):
                rows = await connection.execute(_owned(), {"repositories": repository_ids, "names": batch})
                found.update((row.repository_id, row.name) for row in rows)
        return found

    @unbroken
    async def add(
        self,
        repository_id: int,
        additions: Sequence[NewFile],
        *,
        touched: Touched,
        exclusive: bool = False,
        replace: bool = False,
        reuse: bool = False,
        event: NewEvent | None = None,
        facts: Facts | None = None,
    ) -> bool:
        """Publish files in one transaction; their blobs are stored already.

        Args:
            touched: what becomes out of date.
            exclusive: refuse a listed file name that the package has with other bytes.
            replace: overwrite rows with the same key.
            reuse: allow other bytes under the name of a file that was removed.
            event: what to list.
            facts: what is said of the package, written only where something is new.

        Returns:
            True when something new is there, False when all of it was there already.

        Raises:
            AlreadyThere: other bytes are under that name, or were.
        """
        if not additions:
            return False

        def work(connection: Connection) -> bool:
            fresh = publishing.add(
                connection,
                repository_id,
                additions,
                datetime.now(UTC),
                exclusive=exclusive,
                replace=replace,
                reuse=reuse,
                facts=facts,
            )
            if fresh:
                record_now(connection, repository_id, touched, _names(fresh), event)
            reach("add.before-commit")
            return bool(fresh)

        new = await self._database.transact(work)
        reach("add.committed")
        return new

    @unbroken
    async def update(
        self,
        repository_id: int,
        files: Sequence[NewFile],
        *,
        touched: Touched,
        event: NewEvent | None = None,
        facts: Facts | None = None,
    ) -> None:
        """Write new entries and fragments under keys that are there, and facts beside them; unknown keys are
        left out."""
        async with self._database.writing() as connection:
            known = await publishing.update(connection, repository_id, files, datetime.now(UTC), facts)
            if known:
                await record(connection, repository_id, touched, _names(known), event)

    @unbroken
    async def remove(
        self,
        repository_id: int,
        keys: Sequence[str],
        *,
        touched: Touched,
        event: NewEvent | None = None,
        tombstones: bool,
        facts: Facts | None = None,
    ) -> int:
        """Remove files and what is empty then, and write facts; returns how many were there.

        Args:
            tombstones: remember the digests of listed files, so that their names cannot come back
                with other bytes.
        """
        async with self._database.writing() as connection:
            count, names = await publishing.remove(connection, repository_id, keys, tombstones=tombstones, facts=facts)
            if count:
                await record(connection, repository_id, touched, names, event)
            reach("remove.before-commit")
        reach("remove.committed")
        return count

    @unbroken
    async def sync(
        self,
        repository_id: int,
        scope: str,
        renew: Callable[[Sequence[StoredFile]], Renewal],
        *,
        properties: Mapping[str, Mapping[str, str]],
        state: UpstreamState,
        touched: Touched,
        now: datetime,
        changed: bool,
    ) -> bool:
        """Bring a proxy's rows in line with what its upstream page lists now, and keep the page's state.

        Args:
            renew: says what becomes of the rows of the scope; called inside the transaction.
            properties: all facts on the packages named; others keep theirs.
            now: when the page was read (UTC).
            changed: the page lists something else than before, whatever the rows say.

        Returns:
            Whether anything changed; only then there are changes and dirty pages.
        """
        async with self._database.writing(durable=False) as connection:
            names = await caching.renew_files(connection, repository_id, scope, renew, now)
            names |= await caching.sync_properties(connection, repository_id, properties)
            changed |= await take_learned(connection, repository_id, state.path)
            await put_state(connection, repository_id, state)
            if names or changed:
                await record(connection, repository_id, touched, names)
            reach("page.before-commit")
        reach("page.committed")
        return bool(names) or changed

    @unbroken
    async def fetched(
        self,
        repository_id: int,
        files: Sequence[NewFile],
        *,
        now: datetime,
        pages: Sequence[str] = (),
        touched: Touched | None = None,
    ) -> None:
        """The bytes of a proxied file and its sidecars are here.

        Args:
            files: rows, each with its blob; what is there under their keys is overwritten.
            pages: paths of pages that do not say yet what the bytes taught.
            touched: what is out of date at once.

        Raises:
            NotHere: the repository was deleted meanwhile.
        """
        work = partial(
            caching.store_fetched,
            repository_id=repository_id,
            files=files,
            pages=pages,
            touched=touched,
            now=now,
        )
        await self._database.transact(work, durable=False)
        reach("fill.committed")

    @unbroken
    async def lost(self, blob: str) -> list[tuple[int, str]]:
        """Forget a blob in all proxies; returns (repository id, key) of the rows that named it."""
        async with self._database.writing(durable=False) as connection:
            return await caching.forget_bytes(connection, blob)

    @unbroken
    async def evict(self, repository_id: int, key: str) -> None:
        """Forget one file's bytes; its row stays, so that they can be fetched again. Processes that
        remember the blob notice by themselves when it is gone."""
        async with self._database.writing(durable=False) as connection:
            statement = update(File).where(File.repository_id == repository_id, File.key == key)
            await connection.execute(statement.values(blob=None, fetched_at=None))
            # The state of a file that may change names the blob too, and validators of bytes that are gone.
            state = delete(Upstream).where(Upstream.repository_id == repository_id, Upstream.path == key)
            await connection.execute(state)

    async def evictable(self, repository_id: int, limit: int, skip: int = 0) -> list[Evictable]:
        """At most ``limit`` files with bytes that are not pinned, least recently used first, but for
        the first ``skip`` of them."""
        query = (
            select(File.key, Blob.digest, Blob.size, Package.name)
            .join(Blob, Blob.digest == File.blob)
            .join(Version, Version.id == File.version_id)
            .join(Package, Package.id == Version.package_id)
            .where(File.repository_id == repository_id, File.pinned.is_(False), or_(File.listed, Blob.size > SIDECAR))
            .order_by(File.last_used.asc().nulls_first(), File.id)
            .limit(limit)
            .offset(skip)
        )
        async with self._database.reading(large=True) as connection:
            return [Evictable(*row) for row in await connection.execute(query)]

    async def usage(self, repository_id: int) -> int:
        """Bytes of the distinct blobs of the repository's files and pages."""
        blobs = union(
            select(File.blob).where(File.repository_id == repository_id, File.blob.is_not(None)),
            select(Page.blob).where(Page.repository_id == repository_id),
        ).subquery()
        async with self._database.reading() as connection:
            total = await connection.scalar(select(func.sum(Blob.size)).where(Blob.digest.in_(select(blobs.c.blob))))
        return int(total or 0)

    @unbroken
    async def used(
        self, stamps: Mapping[tuple[int, str], datetime], downloads: Mapping[tuple[int, str], int] | None = None
    ) -> None:
        """Write last-used times and add downloads, both by (repository id, key); no process has to forget
        anything for it. Files without a row are left out."""
        more = downloads or {}
        # In one order: on PostgreSQL two workers that write the same rows would else wait for each other.
        rows = [
            {"of": at[0], "under": at[1], "at": stamps.get(at), "more": more.get(at, 0)}
            for at in sorted(stamps.keys() | more.keys())
        ]
        if rows:
            async with self._database.writing(durable=False) as connection:
                await connection.execute(_use(), rows)

    async def downloads(self, repository_id: int, name: str) -> dict[str, int]:
        """How often each file of the package was downloaded, by key; files that never were are not in it."""
        of = {"repository": repository_id, "name": name}
        async with self._database.reading(large=True) as connection:
            return {row.key: row.downloads for row in await connection.execute(_downloads(), of)}

    @unbroken
    async def pin(self, repository_id: int, pattern: str, pinned: bool) -> int:
        """Keep files whose key matches the glob from eviction, or no longer; returns how many."""
        async with self._database.writing() as connection:
            rows = await connection.execute(select(File.id, File.key).where(File.repository_id == repository_id))
            ids = [row.id for row in rows if fnmatchcase(row.key, pattern)]
            for batch in batches(ids):
                await connection.execute(update(File).where(File.id.in_(batch)).values(pinned=pinned))
        return len(ids)

    async def blobs_referenced(self, blobs: Sequence[str]) -> set[str]:
        """Which of the blobs a file, a page or an upstream's state names."""
        async with self._database.reading() as connection:
            return await _referenced(connection, blobs)

    @unbroken
    async def forget_blobs(self, blobs: Sequence[str]) -> set[str]:
        """Delete the rows of blobs that nothing names; returns those that may now be deleted."""
        async with self._database.writing() as connection:
            free = set(blobs) - await _referenced(connection, blobs)
            for batch in batches(sorted(free)):
                await connection.execute(delete(Blob).where(Blob.digest.in_(batch)))
        return free

    def all_blobs(self) -> AsyncIterator[BlobUse]:
        """Every file with bytes and every page, for verification."""
        return verifying.all_blobs(self._database)


def _names(files: Sequence[NewFile]) -> Collection[str]:
    return {file.entry.name for file in files}


async def _referenced(connection: AsyncConnection, blobs: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for batch in batches(blobs):
        query: CompoundSelect[str | None] = union(
            select(File.blob).where(File.blob.in_(batch)),
            select(Page.blob).where(Page.blob.in_(batch)),
            select(Upstream.body).where(Upstream.body.in_(batch)),
        )
        found.update(blob for (blob,) in await connection.execute(query) if blob is not None)
    return found
