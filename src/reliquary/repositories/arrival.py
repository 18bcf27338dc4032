"""A proxied file is here: it is checked, named, looked into, and the index learns from it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC
from email.utils import format_datetime
from typing import TYPE_CHECKING

import structlog

from reliquary.blobs.base import Receipt, Verifier
from reliquary.blobs.ledger import Head
from reliquary.catalog.records import NewFile, Touched
from reliquary.errors import Mismatch
from reliquary.failpoints import reach
from reliquary.formats.base import Arrival, FileKey
from reliquary.repositories.absorb import contradict
from reliquary.repositories.context import Context
from reliquary.repositories.rows import new_file
from reliquary.types import Digests, Entry, UpstreamState

if TYPE_CHECKING:
    from reliquary.repositories.proxy import Proxy

log = structlog.get_logger("reliquary.arrival")
STRENGTH = ("sha512", "sha384", "sha256", "blake2b_256", "sha224", "sha1", "md5")
"""Digest algorithms we check, the strongest first."""


def strongest(digests: Digests) -> str | None:
    """The strongest algorithm that is named and that we know, or None."""
    return next((name for name in STRENGTH if name in digests), None)


def verifier(entry: Entry) -> Verifier:
    """Refuses bytes whose length or strongest named digest is not the entry's."""

    def verify(size: int, digests: Digests) -> None:
        if entry.size is not None and size != entry.size:
            raise Mismatch(f"{entry.filename} came with {size} bytes, its index names {entry.size}")
        name = strongest(entry.digests)
        if name is not None and digests[name].lower() != entry.digests[name].lower():
            raise Mismatch(f"{entry.filename} came with another {name} than its index names")

    return verify


class Arrivals:
    """Writes what a landed file means into the catalog."""

    def __init__(self, proxy: Proxy, context: Context) -> None:
        self._proxy = proxy
        self._context = context

    async def confirmed(self, key: FileKey, state: UpstreamState | None) -> None:
        """The upstream said 304 for a file that may change."""
        if state is not None:
            fresh = replace(state, checked_at=self._context.now(), gone_at=None)
            await self._context.catalog.pages.set_state(self._proxy.spec.id, fresh)

    async def landed(self, key: FileKey, entry: Entry, receipt: Receipt, head: Head, url: str) -> None:
        """The bytes are in the store: name them."""
        if self._proxy.format.manner(key).immutable or not entry.listed:
            await self._name(key, entry, receipt)
        else:
            await self._write_anew(key, entry, receipt, head, url)
        if self._proxy.spec.options.get("cache_max_size") is not None:
            self._context.later(self._proxy.evict())

    async def _name(self, key: FileKey, entry: Entry, receipt: Receipt) -> None:
        """An immutable file: a row names its bytes, and says what they taught.

        Its page says so when it is next confirmed, and at once only where it said what is wrong: a
        client that installs a hundred packages would otherwise outdate a hundred pages that it is
        about to read.
        """
        now = self._context.now()
        known = await self._proxy.known(key)
        if known is not None and not contradict(known.entry.digests, entry.digests):
            entry = known.entry  # what the index says may have changed while the bytes came
        learned = await self._look(key, entry, receipt)
        made = new_file(self._proxy.format, learned.entry, now, first_seen=known.first_seen if known else now)
        if known is not None:
            made = replace(made, etag=known.etag, modified=known.modified)
        named = self._with_bytes(made, receipt, strongest(entry.digests) or "unverified")
        files = [named, *[await self._sidecar(side, data) for side, data in learned.sidecars]]
        taught = entry.listed and learned.entry != entry
        pages = [page.path for page in self._proxy.format.pages(key.scope)] if taught else []
        touched = self._touched(entry) if learned.corrects else None
        reach("fill.before-row")
        await self._context.catalog.files.fetched(self._proxy.spec.id, files, now=now, pages=pages, touched=touched)
        if touched is not None:
            self._forget(key, touched)
        for each in (self._proxy.spec.id, *self._proxy.groups):
            self._context.hot.discard(each, key.path)

    def _with_bytes(self, file: NewFile, receipt: Receipt, verified_by: str) -> NewFile:
        return replace(
            file,
            blob=receipt.blob,
            size=receipt.size,
            digests=receipt.digests,
            fetched_at=self._context.now(),
            verified_by=verified_by,
        )

    async def _look(self, key: FileKey, entry: Entry, receipt: Receipt) -> Arrival:
        known = entry
        if entry.listed:
            known = replace(entry, size=receipt.size, digests={**entry.digests, "sha256": receipt.blob})
        format = self._proxy.format
        if not (format.learns and (entry.listed or format.manner(key).checked)):
            return Arrival(known)
        with await self._context.store.open(receipt.blob) as file:
            learned = await asyncio.to_thread(format.arrive, known, file)
        return learned or Arrival(known)

    async def _sidecar(self, entry: Entry, data: bytes) -> NewFile:
        receipt = await self._context.store.put(data, durable=False)
        now = self._context.now()
        made = new_file(self._proxy.format, replace(entry, digests=dict(receipt.digests), size=receipt.size), now)
        rows = await self._context.catalog.files.find([self._proxy.spec.id], entry.key)
        if rows and rows[0].entry.digests.get("sha256") == receipt.blob:
            # The same bytes keep their date: it is fixed when a row is made.
            made = replace(made, etag=rows[0].etag, modified=rows[0].modified, first_seen=rows[0].first_seen)
        return self._with_bytes(made, receipt, "derived")

    async def _write_anew(self, key: FileKey, entry: Entry, receipt: Receipt, head: Head, url: str) -> None:
        """A file that may change: the newest bytes get the name, and the upstream's validators."""
        now = self._context.now()
        known = replace(entry, size=receipt.size, digests=dict(receipt.digests), url=url, published=head.modified)
        made = replace(new_file(self._proxy.format, known, now), modified=head.modified or now)
        fresh = self._with_bytes(made, receipt, strongest(entry.digests) or "unverified")
        touched = self._touched(known)
        await self._context.catalog.files.add(self._proxy.spec.id, [fresh], touched=touched, replace=True)
        dated = format_datetime(head.modified.astimezone(UTC), usegmt=True) if head.modified else None
        reach("fill.before-state")
        state = UpstreamState(key.path, url, 200, now, etag=head.etag, modified=dated, body=receipt.blob)
        await self._context.catalog.pages.set_state(self._proxy.spec.id, state)
        self._forget(key, touched)

    async def look_again(self, key: FileKey, blob: str) -> None:
        """Look into a stored file once more, for a sidecar that is missing or was a lie."""
        rows = await self._context.catalog.files.find([self._proxy.spec.id], key.path)
        if rows:
            size = rows[0].size or 0
            await self._name(key, rows[0].entry, Receipt(size, {**rows[0].entry.digests, "sha256": blob}))

    def _touched(self, entry: Entry) -> Touched:
        scopes = tuple(touch.scope for touch in self._proxy.format.touches(entry))
        return Touched(scopes=scopes, groups=self._proxy.groups)

    def _forget(self, key: FileKey, touched: Touched) -> None:
        ids = (self._proxy.spec.id, *self._proxy.groups)
        self._context.hot.drop(ids, touched.scopes)
        for each in ids:
            self._context.hot.discard(each, key.path)
