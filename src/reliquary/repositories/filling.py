"""Files of a proxy: what is here, what is on its way, and what must be asked for first."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from reliquary.blobs.fill import Fill, Sink
from reliquary.errors import CannotTell, NotHere, ReliquaryError, Unavailable
from reliquary.failpoints import reach
from reliquary.formats.base import FileKey
from reliquary.repositories.arrival import Arrivals, strongest, verifier
from reliquary.repositories.base import FOREVER, FileHit, Flowing, Known, Reach, Stored
from reliquary.repositories.context import Context
from reliquary.repositories.download import Download
from reliquary.repositories.hot import Mark
from reliquary.types import Entry, StoredFile, UpstreamState

if TYPE_CHECKING:
    from reliquary.repositories.proxy import Proxy

log = structlog.get_logger("reliquary.filling")
AGAIN = 10.0
"""Seconds a file whose upstream did not confirm it is served before it is asked again."""
COOL = 60.0
"""Seconds a file whose bytes disagreed with the index is not asked for again."""

SMALL = 4_194_304
"""Bytes up to which a sidecar is kept even where the disk's reserve is reached."""


class StillGood(ReliquaryError):
    """The upstream confirmed the bytes we have; never leaves this module."""

    status = 304


class Filling:
    """The file side of one proxy."""

    def __init__(self, proxy: Proxy, context: Context) -> None:
        self._proxy = proxy
        self._context = context
        self._arrivals = Arrivals(proxy, context)
        self._bad: dict[str, float] = {}

    async def file(self, key: FileKey, *, head: bool) -> FileHit:
        """Where the bytes are; see `reliquary.repositories.base.Repository.file`."""
        context, proxy = self._context, self._proxy
        warm: tuple[Stored, float] | None = context.hot.get(proxy.spec.id, key.path)
        if warm is not None and context.monotonic() < warm[1]:
            context.used[proxy.spec.id, key.path] = context.now()
            return warm[0]
        mark = context.hot.mark(proxy.spec.id, key.scope, key.path)
        row = await self._row(key)
        if row is not None:
            await proxy.offer(row.entry.name, key.scope)
        if row is not None and row.blob is not None:
            if await proxy.present(row.blob, row.size):
                return await self._stored(key, row, mark)
            await proxy.lost(key, row.blob)
            row = await self._row(key)
        if row is not None and not row.entry.listed:
            return await self._sidecar(key, row)
        entry = row.entry if row is not None else self._located(key)
        if entry is None:
            return await self._derived(key)
        return await (self._head(key, row, entry) if head else self._flow(key, row, entry))

    async def _row(self, key: FileKey) -> StoredFile | None:
        row = await self._proxy.known(key)
        if row is not None or self._download(key, None) is not None:
            return row
        # Only the index knows the file (an address from a lock file, on an empty cache).
        brief = await self._proxy.briefs.find(key)
        if brief is not None:
            return brief
        for look in (self._proxy.settle, self._proxy.look_again):
            for page in self._proxy.format.pages(key.scope):
                await look(page)
            row = await self._proxy.known(key)
            if row is not None:
                # An upstream that lists the file and has no document about it has none about others.
                self._proxy.briefs.lacking()
                return row
        return None

    def _located(self, key: FileKey) -> Entry | None:
        """An entry for a file that no index named: its address follows from its path."""
        url = self._download(key, None)
        if url is None or not self._proxy.upstreams:
            if url is not None:
                raise NotHere(f"{self._proxy.spec.title} has no {key.path} and asks no upstream")
            return None
        filename = key.path.rpartition("/")[2]
        url = None if key.listed else url
        return Entry(key.path, key.name, key.version, filename, key.scope, url=url, listed=key.listed)

    def _download(self, key: FileKey, entry: Entry | None) -> str | None:
        if entry is not None and entry.url is not None:
            return entry.url
        upstreams = self._proxy.upstreams
        return self._proxy.format.locate(key, upstreams[0].base if upstreams else "https://upstream.invalid/")

    # What is here

    async def _stored(self, key: FileKey, row: StoredFile, mark: Mark) -> FileHit:
        context, proxy = self._context, self._proxy
        hit = Stored(row.blob or "", row.size or 0, row.etag, row.modified, proxy.spec)
        context.used[proxy.spec.id, key.path] = context.now()
        if proxy.format.manner(key).immutable or not row.entry.listed or not proxy.upstreams:
            context.hot.put(proxy.spec.id, key.path, key.scope, (hit, FOREVER), 0, mark)
            return hit
        state = await context.catalog.pages.state(proxy.spec.id, key.path)
        age = (context.now() - state.checked_at).total_seconds() if state else FOREVER
        until = context.monotonic() + proxy.life(key) - age
        if age < 0 or until <= context.monotonic():
            renewed = await self._revalidated(key, row, state)
            if renewed is not None:
                return renewed
            mark = context.hot.mark(proxy.spec.id, key.scope, key.path)
            until = context.monotonic() + AGAIN
        context.hot.put(proxy.spec.id, key.path, key.scope, (hit, until), 0, mark)
        return hit

    async def _revalidated(self, key: FileKey, row: StoredFile, state: UpstreamState | None) -> FileHit | None:
        """Ask whether the upstream has other bytes by now; None: what we have is to be served."""
        try:
            return await self._flow(key, row, row.entry, state)
        except StillGood:
            return None
        except NotHere:
            log.warning("upstream no longer has it", repository=self._proxy.spec.title, file=key.path)
        except Unavailable as error:
            log.warning("file is stale", repository=self._proxy.spec.title, file=key.path, reason=error.message)
        return None

    # What is on its way

    async def _flow(
        self, key: FileKey, row: StoredFile | None, entry: Entry, state: UpstreamState | None = None
    ) -> FileHit:
        fill = await self._join(key, entry, state)
        if key.path in self._bad or not await fill.begun():
            # Bytes that were wrong once are checked whole before anybody sees one of them.
            await fill.wait()
            return await self._again(key)
        head = await fill.head()
        # What a row says holds for its bytes; of a file that may change, others may be coming.
        known = row if row is not None and self._proxy.format.manner(key).immutable else None
        modified, etag = (known.modified, known.etag) if known is not None else (head.modified, None)
        return Flowing(fill, head.size, etag, modified, self._proxy.spec, self._reach(key, entry))

    async def _join(self, key: FileKey, entry: Entry, state: UpstreamState | None = None) -> Fill[None]:
        if not self._proxy.upstreams:
            raise NotHere(f"the bytes of {key.path} are not here and {self._proxy.spec.title} asks no upstream")
        if self._bad.get(key.path, 0.0) > self._context.monotonic():
            raise Unavailable(f"the upstream sent other bytes for {key.path} than its index names", code="mismatch")

        if not self._proxy.format.manner(key).immutable:
            # The digests of the bytes we had say nothing of the bytes that come.
            entry = replace(entry, digests={}, size=None)

        async def lead(sink: Sink) -> None:
            await self._lead(key, entry, state, sink)

        algorithm = strongest(entry.digests)
        algorithms = [algorithm] if algorithm and algorithm != "sha256" else []
        return await self._context.fills.join(self._fill_name(key), lead, algorithms=algorithms)

    def _fill_name(self, key: FileKey) -> str:
        return f"{self._proxy.spec.id}/{key.path}"

    async def _lead(self, key: FileKey, entry: Entry, state: UpstreamState | None, sink: Sink) -> None:
        """Fetch the file once, for everybody; the row appears only when the bytes are right."""
        if state is None and await self._there(key):
            return  # another process has just stored it
        self._context.count("upstream_files")
        download = Download(self._proxy, key, entry)
        async with download.begin(state) as answer:
            if answer is None:
                await self._arrivals.confirmed(key, state)
                raise StillGood("unchanged")
            head = download.head(answer)
            keep = self._room(entry, head.size)
            await sink.begin(head)
            async for chunk in answer.chunks():
                await sink.write(chunk)
        verify, manner = verifier(entry), self._proxy.format.manner(key)
        try:
            if keep:
                # A file that may change shows on its page with the bytes; of others the page says all already.
                receipt = await sink.keep(verify, early=manner.immutable and not manner.checked)
                await self._arrivals.landed(key, entry, receipt, head, answer.url)
                reach("fill.landed")
            else:
                receipt = await sink.finish()
                verify(receipt.size, receipt.digests)
            self._bad.pop(key.path, None)
        except Unavailable:
            self._context.count("mismatches")
            self._bad[key.path] = self._context.monotonic() + COOL
            log.error("bytes disagree with the index", repository=self._proxy.spec.title, file=key.path)
            raise

    async def _there(self, key: FileKey) -> bool:
        rows = await self._context.catalog.files.find([self._proxy.spec.id], key.path)
        blob = rows[0].blob if rows else None
        return blob is not None and await self._proxy.present(blob, rows[0].size)

    def _room(self, entry: Entry, size: int | None) -> bool:
        """Whether the file may be kept: it fits the cache, and the disk keeps its reserve. Sidecars
        always may: they are small, and are served from the store alone."""
        if not entry.listed and size is not None and size <= SMALL:
            return True
        most = self._proxy.spec.options.get("cache_max_size")
        if most is not None and size is not None and size > int(most):
            return False
        if self._context.data is None:
            return True
        return shutil.disk_usage(self._context.data).free - (size or 0) > self._context.limits.reserve

    def _reach(self, key: FileKey, entry: Entry) -> Reach:
        @asynccontextmanager
        async def reach(start: int, stop: int) -> AsyncIterator[AsyncIterator[bytes] | None]:
            async with AsyncExitStack() as stack:
                try:
                    answer = await stack.enter_async_context(Download(self._proxy, key, entry).span(start, stop))
                except Unavailable:
                    answer = None  # the fill goes on, and brings these bytes too
                yield answer.chunks() if answer is not None else None

        return reach

    async def _head(self, key: FileKey, row: StoredFile | None, entry: Entry) -> FileHit:
        """A cold HEAD: from the row, else from the upstream's HEAD, else by beginning the fill."""
        fixed = row is not None and self._proxy.format.manner(key).immutable
        etag, modified = (row.etag, row.modified) if row is not None and fixed else (None, None)
        if entry.size is not None:
            return Known(entry.size, etag, modified, self._proxy.spec)
        size, seen = await Download(self._proxy, key, entry).measure()
        if size is None:
            return await self._flow(key, row, entry)
        return Known(size, etag, modified or seen, self._proxy.spec)

    # Sidecars

    async def _sidecar(self, key: FileKey, row: StoredFile) -> FileHit:
        """A small file that is checked before its first byte is sent: from the upstream where that
        is honest, else made from the file it belongs to."""
        if row.entry.url is not None and self._proxy.upstreams:
            try:
                await (await self._join(key, row.entry)).wait()
            except (NotHere, CannotTell) as error:
                log.warning("sidecar is made here", repository=self._proxy.spec.title, file=key.path, reason=str(error))
            else:
                return await self._again(key)
        return await self._derived(key, known=True)

    async def _derived(self, key: FileKey, *, known: bool = False) -> FileHit:
        derived = self._proxy.format.derive(key)
        if derived is None:
            raise NotHere(f"{self._proxy.spec.title} has no file {key.path}")
        coming = self._context.fills.under_way(self._fill_name(derived.source))
        if coming is not None:
            await coming.wait()  # its asker may have the whole of it before it has its row
        origin = await self._proxy.known(derived.source)
        if origin is None or not (known or origin.blob):
            raise NotHere(f"{self._proxy.spec.title} has no file {key.path}")
        source = await self.file(derived.source, head=False)
        if isinstance(source, Flowing):
            await source.fill.wait()
        if not isinstance(source, Stored):
            source = await self._again(derived.source)
        await self._arrivals.look_again(derived.source, source.blob)
        made = await self._row(key)
        if made is None or made.blob is None:
            raise NotHere(f"{self._proxy.spec.title} has no file {key.path}")
        return await self._again(key)

    async def _again(self, key: FileKey) -> Stored:
        """The bytes that have just been fetched, where they were kept."""
        rows = await self._context.catalog.files.find([self._proxy.spec.id], key.path)
        if not rows or rows[0].blob is None:
            raise Unavailable(f"there is no room to keep {key.path}, which is needed whole", code="no-room")
        row = rows[0]
        return Stored(row.blob or "", row.size or 0, row.etag, row.modified, self._proxy.spec)
