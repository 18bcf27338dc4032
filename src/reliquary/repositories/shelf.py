"""Shelves: what verbs and queries may do with a repository."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, TypeVar

from reliquary.blobs.base import Writer
from reliquary.catalog.publishing import TOMBSTONE
from reliquary.catalog.records import Facts, NewEvent, NewFile, Touched
from reliquary.errors import CannotTell, Full, NotHere, TooLarge, Unavailable, WrongMethod
from reliquary.failpoints import reach
from reliquary.formats.base import FileKey, Format
from reliquary.formats.verbs import PublicKey, Received, Reply, Shelf
from reliquary.repositories import rules
from reliquary.repositories.base import Permit, Repository
from reliquary.repositories.context import Context
from reliquary.repositories.rows import new_file
from reliquary.types import NOTHING, Action, Digests, Entry, Rule, StoredFile, Verdict
from reliquary.upstream.base import Document

if TYPE_CHECKING:
    from reliquary.repositories.hosted import Hosted
    from reliquary.repositories.proxy import Proxy

T = TypeVar("T")
FORWARDED = 33_554_432
"""Bytes that a passed-on upstream answer may have."""


def visible(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties that formats may see: not those that remember removed file names."""
    return {name: value for name, value in properties.items() if not name.startswith(TOMBSTONE)}


def known(row: StoredFile) -> Entry:
    """A row's entry, with the size of its bytes where they are here."""
    return replace(row.entry, size=row.entry.size if row.blob is None else row.size)


class _Written:
    """Implements `reliquary.formats.verbs.Received` over a finished writer."""

    def __init__(self, writer: Writer, size: int, digests: Digests) -> None:
        self.writer = writer
        self._size = size
        self._digests = digests
        self.kept = False

    @property
    def size(self) -> int:
        return self._size

    @property
    def digests(self) -> Digests:
        return self._digests

    def open(self) -> IO[bytes]:
        return self.writer.open()

    async def discard(self) -> None:
        if not self.kept:
            await self.writer.abort()


class _Shelf:
    """What every shelf can do: look.

    ``beside``: shelves of the other members of a group, which questions about no name in
    particular are put to as well.
    """

    def __init__(
        self,
        repository: Repository,
        context: Context,
        publisher: str | None,
        permit: Permit,
        screen: Sequence[Rule] = (),
        beside: Sequence[Shelf] = (),
    ) -> None:
        self._beside = tuple(beside)
        self._screen = tuple(screen)
        self._spec = repository.spec
        self._format: Format = repository.format
        self._context = context
        self._publisher = publisher
        self._permit = permit

    @property
    def repository(self) -> str:
        return self._spec.title

    @property
    def public(self) -> bool:
        return self._spec.anonymous_read

    @property
    def publisher(self) -> str | None:
        return self._publisher

    @property
    def options(self) -> Mapping[str, Any]:
        return self._spec.options

    @property
    def now(self) -> datetime:
        return self._context.now()

    async def permit(self, action: Action, name: str) -> None:
        await self._permit(self._spec, action, name)

    async def entries(self, name: str) -> Sequence[Entry]:
        rows = await self._context.catalog.files.of_package(self._spec.id, name)
        return [known(row) for row in rows]

    async def entry(self, key: FileKey) -> Entry | None:
        found = await self._entry(key)
        for other in self._beside if found is None else ():
            if (found := await other.entry(key)) is not None:
                break
        return found

    async def _entry(self, key: FileKey) -> Entry | None:
        rows = await self._context.catalog.files.find([self._spec.id], key.path)
        return known(rows[0]) if rows else None

    def offers(self, name: str) -> bool:
        return any(other.offers(name) for other in self._beside)

    async def serial(self, name: str) -> int:
        return await self._context.catalog.packages.serial([self._spec.id], name)

    async def survey(self, fact: str) -> Sequence[tuple[str, str]]:
        told = await self._context.catalog.packages.facts(self._spec.id, fact)
        found = {name: value for name, value in told if self._shows(name)}
        for other in self._beside:
            for name, value in await other.survey(fact):
                found.setdefault(name, value)
        return sorted(found.items())

    async def names(self) -> Sequence[tuple[str, int]]:
        found = await self._context.catalog.packages.packages(self._spec.id)
        return [(name, serial) for name, serial in found if self._shows(name)]

    def _shows(self, name: str) -> bool:
        return rules.verdict(self._screen, name) is not Verdict.DENY

    async def changes(self, since: int) -> Sequence[tuple[str, str, int, str, int]]:
        rows = await self._context.catalog.events.since(self._spec.id, since, 50_000)
        return [
            (row.name, row.version, int(row.at.timestamp()), row.action, row.serial)
            for row in rows
            if self._shows(row.name)
        ]

    async def properties(self, name: str) -> Mapping[str, str]:
        return visible(await self._context.catalog.packages.properties(self._spec.id, name))

    async def read(self, key: str, limit: int = 1_048_576) -> bytes:
        rows = await self._context.catalog.files.find([self._spec.id], key)
        if not rows or rows[0].blob is None or (rows[0].size or 0) > limit:
            raise NotHere(f"{self._spec.title} has no stored file {key}")
        return b"".join([chunk async for chunk in self._context.store.read(rows[0].blob)])

    async def inspect(self, look: Callable[[], T]) -> T:
        return await asyncio.to_thread(look)

    async def ask(
        self, path: str, headers: Mapping[str, str] = NOTHING, *, body: bytes | None = None
    ) -> Sequence[Reply]:
        replies: list[Reply] = []
        with suppress(NotHere, Unavailable):
            replies.append(await self._pass_on(path, headers, body, aside=True))
        for other in self._beside:
            replies += await other.ask(path, headers, body=body)
        return replies

    async def _pass_on(
        self, path: str, headers: Mapping[str, str], body: bytes | None = None, *, aside: bool = False
    ) -> Reply:
        raise NotHere(f"{self._spec.title} has no upstream")

    async def forward(self, path: str, headers: Mapping[str, str]) -> Reply:
        return await self._pass_on(path, headers)

    async def sign(self, data: bytes) -> tuple[str, str]:
        return await self._context.signing.sign(self._format.name, data)

    async def keys(self) -> Sequence[PublicKey]:
        return await self._context.signing.keys(self._format.name)


class HostedShelf(_Shelf):
    """Implements `reliquary.formats.verbs.Shelf` for a hosted repository."""

    hosted = True

    def __init__(
        self,
        repository: Hosted,
        context: Context,
        publisher: str | None,
        permit: Permit,
        screen: Sequence[Rule] = (),
        beside: Sequence[Shelf] = (),
    ) -> None:
        super().__init__(repository, context, publisher, permit, screen, beside)
        self._groups = repository.groups

    async def set_properties(self, name: str, values: Mapping[str, str | None]) -> None:
        touched = self._touched([Entry("", name, "", "", name)])
        await self._context.catalog.packages.set_properties(
            self._spec.id, name, values, touched=touched, event=self._event("status", name)
        )
        self._drop(touched)

    async def receive(
        self, chunks: AsyncIterator[bytes], *, algorithms: Sequence[str] = (), limit: int | None = None
    ) -> Received:
        most = min(limit or self._limit(), self._limit())
        self._check_room()
        writer = await self._context.store.writer(algorithms, durable=True)
        size = 0
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > most:
                    raise TooLarge(f"the file is larger than the {most} bytes that {self._spec.title} takes")
                await writer.write(chunk)
            receipt = await writer.finish()
            reach("publish.finished")
        except BaseException:
            await asyncio.shield(writer.abort())
            raise
        return _Written(writer, receipt.size, receipt.digests)

    def _limit(self) -> int:
        return int(self._spec.options.get("upload_limit", self._context.limits.upload_limit))

    def _check_room(self) -> None:
        data = self._context.data
        if data is not None and shutil.disk_usage(data).free < self._context.limits.reserve // 4:
            raise Full(f"the disk of {self._spec.title} is full; nothing was stored")

    async def add(
        self,
        additions: Sequence[tuple[Entry, Received | bytes]],
        *,
        exclusive: bool = True,
        replace: bool = False,
        properties: Mapping[str, str | None] = NOTHING,
        defaults: Mapping[str, str] = NOTHING,
    ) -> bool:
        files = await self._commit_all(additions)
        reach("publish.stored")
        listed = next(file.entry for file in files if file.entry.listed)
        touched = self._touched([file.entry for file in files if file.entry.listed])
        new = await self._context.catalog.files.add(
            self._spec.id,
            files,
            touched=touched,
            exclusive=exclusive and not replace,
            replace=replace,
            reuse=replace or bool(self._spec.options.get("reuse_filenames", False)),
            event=self._event("add", listed.name, listed.version, listed.filename),
            facts=Facts(listed.name, properties, defaults) if properties or defaults else None,
        )
        self._drop(touched)
        await self._confirm(files, touched)
        self._context.count("published", int(new))
        reach("publish.before-answer")
        return new

    async def _commit_all(self, additions: Sequence[tuple[Entry, Received | bytes]]) -> list[NewFile]:
        """All at once: what asks the disk to flush at the same time waits for one flush."""
        work = (self._commit(entry, received) for entry, received in additions)
        found: list[NewFile] = []
        for each in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(each, BaseException):
                raise each
            found.append(each)
        return found

    async def _confirm(self, files: Sequence[NewFile], touched: Touched) -> None:
        """A cache that made room at this very moment may have thrown out bytes that both had: only
        what is there with its row is acknowledged."""
        for file in files:
            for pause in (0.0, 0.1, 0.5):
                await asyncio.sleep(pause)
                if file.blob is not None and await self._context.store.size(file.blob) is not None:
                    break
            else:
                keys = [each.entry.key for each in files]
                await self._context.catalog.files.remove(self._spec.id, keys, touched=touched, tombstones=False)
                self._drop(touched)
                raise CannotTell("the bytes were lost while they were published; send them again", retry_after=1)

    async def _commit(self, entry: Entry, received: Received | bytes) -> NewFile:
        """Bytes first: they are whole and durable before any row names them."""
        if isinstance(received, bytes):
            receipt = await self._context.store.put(received, durable=True)
            size, digests = receipt.size, receipt.digests
        elif isinstance(received, _Written):
            receipt = await received.writer.commit()
            received.kept = True
            size, digests = receipt.size, receipt.digests
        else:
            raise TypeError(f"{type(received).__name__} was not received by this shelf")
        now = self.now
        known = replace(entry, size=size, digests={**entry.digests, **digests})
        return replace(
            new_file(self._format, known, now),
            etag=digests["sha256"],
            modified=now,
            blob=digests["sha256"],
            size=size,
            digests=digests,
            fetched_at=now,
            verified_by="published",
            publisher=self._publisher,
        )

    async def update(
        self, entries: Sequence[Entry], action: str, *, properties: Mapping[str, str | None] = NOTHING
    ) -> None:
        touched = self._touched(entries)
        first = entries[0]
        await self._context.catalog.files.update(
            self._spec.id,
            [new_file(self._format, entry, self.now) for entry in entries],
            touched=touched,
            event=self._event(action, first.name, first.version, first.filename),
            facts=Facts(first.name, properties) if properties else None,
        )
        self._drop(touched)

    async def remove(
        self, keys: Sequence[str], action: str = "remove", *, properties: Mapping[str, str | None] = NOTHING
    ) -> int:
        found = [row for key in keys for row in await self._context.catalog.files.find([self._spec.id], key)]
        if not found:
            return 0
        entries = [row.entry for row in found]
        touched = self._touched(entries)
        gone = await self._context.catalog.files.remove(
            self._spec.id,
            [entry.key for entry in entries],
            touched=touched,
            event=self._event(action, entries[0].name, entries[0].version, entries[0].filename),
            tombstones=not self._spec.options.get("reuse_filenames", False),
            facts=Facts(entries[0].name, properties) if properties else None,
        )
        self._drop(touched)
        for row in found:
            for each in (self._spec.id, *self._groups):
                self._context.hot.discard(each, row.entry.key)
        reach("remove.before-answer")
        return gone

    def _touched(self, entries: Sequence[Entry]) -> Touched:
        scopes = {touch.scope: None for entry in entries for touch in self._format.touches(entry)}
        return Touched(scopes=tuple(scopes), groups=self._groups)

    def _drop(self, touched: Touched) -> None:
        self._context.hot.drop((self._spec.id, *self._groups), touched.scopes)

    def _event(self, action: str, name: str, version: str = "", filename: str = "") -> NewEvent:
        return NewEvent(action=action, name=name, version=version, filename=filename, actor=self._publisher)


class ProxyShelf(_Shelf):
    """Implements `reliquary.formats.verbs.Shelf` for a proxy: reads, and questions passed on."""

    hosted = False

    def __init__(
        self,
        repository: Proxy,
        context: Context,
        publisher: str | None,
        permit: Permit,
        screen: Sequence[Rule] = (),
        beside: Sequence[Shelf] = (),
    ) -> None:
        super().__init__(repository, context, publisher, permit, screen, beside)
        self._proxy = repository

    def _shows(self, name: str) -> bool:
        # What a group keeps for its own members is not taken from a proxy, whatever that knows of it.
        kept = rules.verdict(self._screen, name) is Verdict.OWNED
        return not kept and super()._shows(name) and rules.admits(self._spec.rules, name)

    def offers(self, name: str) -> bool:
        return self._shows(name) or super().offers(name)

    async def entries(self, name: str) -> Sequence[Entry]:
        for page in self._proxy.format.pages(name):
            await self._proxy.settle(page)
        return [known(row) for row in await self._proxy.rows(name)]

    async def _entry(self, key: FileKey) -> Entry | None:
        for page in self._proxy.format.pages(key.scope):
            try:
                await self._proxy.settle(page)
            except NotHere:
                return None
        row = await self._proxy.known(key)
        return known(row) if row is not None else None

    async def properties(self, name: str) -> Mapping[str, str]:
        """What the settled page says of the package, too."""
        said: dict[str, str] = {}
        for page in self._proxy.format.pages(name):
            said |= await self._proxy.said(page)
        return {**await super().properties(name), **said}

    async def _pass_on(
        self, path: str, headers: Mapping[str, str], body: bytes | None = None, *, aside: bool = False
    ) -> Reply:
        """Ask each upstream in turn.

        Args:
            aside: one that did not answer such a question usably is not asked it again for a while.
        """
        proxy, about = self._proxy, path.partition("?")[0]
        if not aside:
            return await self._put_to(path, headers, body)
        if proxy.unanswered.get(about, 0.0) > self._context.monotonic():
            raise NotHere(f"the upstream of {self._spec.title} has just not answered {about}")
        try:
            return await self._put_to(path, headers, body, aside=True)
        except (NotHere, Unavailable):
            if len(proxy.unanswered) > 1000:
                proxy.unanswered.clear()
            proxy.unanswered[about] = self._context.monotonic() + self._context.limits.negative_life
            raise

    async def _put_to(self, path: str, headers: Mapping[str, str], body: bytes | None, *, aside: bool = False) -> Reply:
        sent = {name: value for name, value in headers.items() if name == "accept"}
        for upstream in self._proxy.upstreams:
            url = self._format.question(path, upstream.base)
            outcome = await upstream.fetch(url, headers=sent, limit=FORWARDED, body=body, aside=aside)
            if isinstance(outcome, Document):
                kind = outcome.headers.get("content-type", "application/octet-stream")
                return Reply(200, outcome.body, kind)
        raise NotHere(f"the upstream of {self._spec.title} has no {path}")

    def _refuse(self) -> WrongMethod:
        return WrongMethod(f"{self._spec.title} is a proxy: it takes no publishing")

    async def set_properties(self, name: str, values: Mapping[str, str | None]) -> None:
        raise self._refuse()

    async def receive(
        self, chunks: AsyncIterator[bytes], *, algorithms: Sequence[str] = (), limit: int | None = None
    ) -> Received:
        raise self._refuse()

    async def add(
        self,
        additions: Sequence[tuple[Entry, Received | bytes]],
        *,
        exclusive: bool = True,
        replace: bool = False,
        properties: Mapping[str, str | None] = NOTHING,
        defaults: Mapping[str, str] = NOTHING,
    ) -> bool:
        raise self._refuse()

    async def update(
        self, entries: Sequence[Entry], action: str, *, properties: Mapping[str, str | None] = NOTHING
    ) -> None:
        raise self._refuse()

    async def remove(
        self, keys: Sequence[str], action: str = "remove", *, properties: Mapping[str, str | None] = NOTHING
    ) -> int:
        raise self._refuse()
