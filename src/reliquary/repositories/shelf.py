"""The shelf of a hosted repository: what verbs may do with it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from reliquary.blobs.base import Writer
from reliquary.catalog.records import Facts, NewEvent, NewFile, Touched
from reliquary.errors import CannotTell, Full, TooLarge
from reliquary.failpoints import reach
from reliquary.formats.verbs import Received
from reliquary.repositories.base import ALONE, Company, Permit
from reliquary.repositories.context import Context
from reliquary.repositories.looking import LookingShelf
from reliquary.repositories.rows import new_file
from reliquary.types import NOTHING, Digests, Entry

if TYPE_CHECKING:
    from reliquary.repositories.hosted import Hosted


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


class HostedShelf(LookingShelf):
    """Implements `reliquary.formats.verbs.Shelf` for a hosted repository."""

    hosted = True

    def __init__(
        self,
        repository: Hosted,
        context: Context,
        publisher: str | None,
        permit: Permit,
        company: Company = ALONE,
    ) -> None:
        super().__init__(repository, context, publisher, permit, company)
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
        self,
        keys: Sequence[str],
        action: str = "remove",
        *,
        properties: Mapping[str, str | None] = NOTHING,
        clears: bool = False,
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
            facts=Facts(entries[0].name, properties, clears=clears) if properties or clears else None,
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
