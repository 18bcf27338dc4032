"""Pages: chosen from memory, from the catalog, or rendered; one way for every kind of repository.

A change marks pages dirty in its own transaction; the first reader renders the variant it asks.
So a publish costs the same in a project of ten files and of ten thousand, and is seen at once.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from backports import zstd
from isal import igzip

from reliquary.blobs.base import BlobStore
from reliquary.errors import CannotTell, Malformed, NotHere
from reliquary.formats.base import FileKey, Format, Listing, PageKey, Pen, Rendered
from reliquary.repositories.base import Contents, FileHit, Freshness, PageHit
from reliquary.repositories.context import Context
from reliquary.types import RepositorySpec, StoredPage

IDENTITY = "identity"
SMALL = 1024
"""Pages below this many bytes are sent plain: a coding would not pay."""
KEPT = 4_194_304
"""Bodies up to this many bytes stay in memory; larger ones go out from the store."""
LONG = 262_144
"""Bodies of more bytes than this are compressed in a thread."""
FACTS = "\0facts "
"""Before a package's name in the hot map; no path of a page or file begins with it."""
HEAVY = 400
"""Listings of more files than this are assembled in a thread."""


@dataclass(slots=True)
class Shown:
    """The variants of one page that this process has sent lately."""

    until: float
    stale: bool
    partial: bool
    variants: dict[tuple[str, str], PageHit] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        """Bytes held in memory."""
        return sum(len(hit.body or b"") for hit in self.variants.values())


class Projection:
    """The page side of a repository; kinds say what a page is made of and when it is fresh."""

    def __init__(self, spec: RepositorySpec, format: Format, context: Context) -> None:
        self._spec = spec
        self._format = format
        self._context = context

    @property
    def spec(self) -> RepositorySpec:
        return self._spec

    @property
    def format(self) -> Format:
        return self._format

    async def settle(self, key: PageKey) -> Freshness:
        raise NotImplementedError

    async def contents(self, key: PageKey, media: str) -> Contents:
        raise NotImplementedError

    def sources(self) -> Sequence[int]:
        """Ids of the repositories whose changes show on our pages."""
        return [self._spec.id]

    async def page(self, key: PageKey, media: str, codings: Sequence[str]) -> PageHit:
        """A page from memory, else by `_lookup`; see `reliquary.repositories.base.Repository.page`."""
        shown: Shown | None = self._context.hot.get(self._spec.id, key.place)
        if shown is not None and self._context.monotonic() < shown.until:
            hit = _pick(shown, media, codings)
            if hit is not None:
                return hit
        return await self._lookup(key, media, codings)

    async def _lookup(self, key: PageKey, media: str, codings: Sequence[str]) -> PageHit:
        context = self._context
        freshness = await self.settle(key)
        mark = context.hot.mark(self._spec.id, key.scope, key.place)  # what is dropped from here on is not taken in
        rows, _ = await context.catalog.pages.find(self._spec.id, key.place)
        row = _choose(rows, media, codings)
        partial, body = False, None
        if row is None or not await self.present(row.blob, row.size):
            partial = freshness.partial
            keep = not partial and context.knows(key.base)
            other = any(each.media == media and not each.dirty for each in rows) and not partial
            made, body = await context.flights.join(
                # An asker never joins a rendering begun before a change that it may know of.
                ("render", context.hot, mark, self._spec.id, key.place, media, codings[0], partial),
                lambda: self._render(key, media, codings, keep=keep, other=other),
            )
            row = made
        hit = await self._hit(row, freshness, partial, body)
        shown: Shown | None = context.hot.get(self._spec.id, key.place)
        changed = mark != context.hot.mark(self._spec.id, key.scope, key.place)
        if shown is None or shown.until != freshness.until or changed:
            shown = Shown(freshness.until, freshness.stale, partial)
        shown.variants[media, row.coding] = hit
        if not partial and not row.dirty and context.knows(key.base):
            context.hot.put(self._spec.id, key.place, key.scope, shown, shown.weight, mark)
        return hit

    async def _hit(self, row: StoredPage, freshness: Freshness, partial: bool, body: bytes | None) -> PageHit:
        if body is None and row.size <= KEPT:
            body = await _whole(self._context.store, row.blob, row.size)
        return PageHit(
            media=row.media,
            coding=row.coding,
            blob=row.blob,
            size=row.size,
            etag=row.etag,
            modified=row.modified,
            headers=row.headers,
            body=body,
            stale=freshness.stale,
            partial=partial,
        )

    async def _render(
        self, key: PageKey, media: str, codings: Sequence[str], *, keep: bool, other: bool
    ) -> tuple[StoredPage, bytes | None]:
        """Assemble one media type in the coding asked for, and keep it, unless it lacks a member that is down or was
        made for an address that nobody may use again. With the bytes where they are of use."""
        context, coding = self._context, codings[0]
        seen = await context.catalog.changes.latest()
        built = context.built
        page = await self._sibling(key, media) if other else None
        if page is None:
            contents = await self.contents(key, media)
            context.count("pages_rendered")
            page = await self._assemble(key, contents, media)
        if len(page.body) < SMALL and IDENTITY in codings:
            coding = IDENTITY
        row, body = await self._coded(key, page, coding)
        if not keep:
            return row, body
        await context.store.put(body, durable=False)
        stored = await context.catalog.pages.write(
            self._spec.id, [row], seen=seen, built=built, sources=self.sources(), scope=key.scope
        )
        return stored[0], body if len(body) <= KEPT else None

    async def _sibling(self, key: PageKey, media: str) -> Rendered | None:
        """The page as it is kept in another coding: in each it says the same. None where there is none."""
        rows, _ = await self._context.catalog.pages.find(self._spec.id, key.place)
        for row in rows:
            if row.media != media or row.dirty:
                continue
            with suppress(NotHere, CannotTell, Malformed):  # then it is made anew
                body = await _whole(self._context.store, row.blob, row.size)
                plain = await self._context.labour.do(partial(unpack, body, row.coding), begun=True)
                return Rendered(key.path, row.media, plain, row.headers)
        return None

    async def _assemble(self, key: PageKey, contents: Contents, media: str) -> Rendered:
        listing = Listing(
            files=contents.rows,
            names=contents.names,
            properties=contents.properties,
            serial=contents.serial,
            base_url=key.base or self._public_url(),
        )
        pen = Pen(now=self._context.now(), repository=self._spec.title)

        def work() -> Sequence[Rendered]:
            return self._format.assemble([key], listing, pen, media)

        heavy = len(listing.files) + len(listing.names) > HEAVY
        pages = await self._context.labour.do(work, begun=True) if heavy else work()
        for page in pages:
            if page.path == key.path and page.media == media:
                return page
        raise NotHere(f"{key.path} is not offered as {media}")

    async def _coded(self, key: PageKey, page: Rendered, coding: str) -> tuple[StoredPage, bytes]:
        body = page.body
        if coding != IDENTITY:
            heavy = len(body) > LONG
            body = (
                await self._context.labour.do(partial(compress, body, coding), begun=True)
                if heavy
                else compress(body, coding)
            )
        blob = hashlib.sha256(body).hexdigest()
        etag = hashlib.sha256(f"{page.media} {coding} {blob}".encode()).hexdigest()[:40]
        row = StoredPage(
            path=key.place,
            scope=key.scope,
            media=page.media,
            coding=coding,
            blob=blob,
            size=len(body),
            etag=etag,
            modified=self._context.now(),
            headers=page.headers,
        )
        return row, body

    def _public_url(self) -> str | None:
        public = self._context.limits.public_url
        return f"{public.rstrip('/')}/{self._spec.title}/" if public else None

    async def offer(self, name: str, scope: str) -> None:
        """Raise NotHere when the format withholds the files of a package with these facts, which
        are remembered until something of the scope changes."""
        context, at = self._context, f"{FACTS}{name}"
        facts = context.hot.get(self._spec.id, at)
        if facts is None:
            mark = context.hot.mark(self._spec.id, scope, at)
            facts = await context.catalog.packages.properties(self._spec.id, name)
            context.hot.put(self._spec.id, at, scope, facts, 0, mark)
        reason = self._format.withheld(facts)
        if reason is not None:
            raise NotHere(f"{name} has no files to offer: {reason}", code="withheld")

    async def present(self, blob: str, size: int | None) -> bool:
        """Whether the bytes of a file are in the store, whole as far as their size tells."""
        have = await self._context.store.size(blob)
        return have is not None and (size is None or have == size)

    async def file(self, key: FileKey, *, head: bool = False) -> FileHit:
        raise NotImplementedError


def _pick(shown: Shown, media: str, codings: Sequence[str]) -> PageHit | None:
    plain = shown.variants.get((media, IDENTITY))
    if plain is not None and plain.size < SMALL and IDENTITY in codings:
        return plain
    return shown.variants.get((media, codings[0]))


def _choose(rows: Sequence[StoredPage], media: str, codings: Sequence[str]) -> StoredPage | None:
    found = {row.coding: row for row in rows if row.media == media and not row.dirty}
    plain = found.get(IDENTITY)
    if plain is not None and plain.size < SMALL and IDENTITY in codings:
        return plain
    return found.get(codings[0])


def compress(body: bytes, coding: str) -> bytes:
    """A page's body in a content coding; the same bytes each time for the same body."""
    if coding == "gzip":
        return bytes(igzip.compress(body, compresslevel=2, mtime=0))
    if coding == "zstd":
        return bytes(zstd.compress(body, level=3))
    raise ValueError(coding)


def unpack(body: bytes, coding: str) -> bytes:
    """What `compress` packed; raises Malformed for anything else."""
    try:
        if coding == "gzip":
            return gzip.decompress(body)
        return bytes(zstd.decompress(body)) if coding == "zstd" else body
    except (zlib.error, zstd.ZstdError, OSError, EOFError) as error:
        raise Malformed("a rendered page is damaged on the disk") from error


async def _whole(store: BlobStore, blob: str, size: int) -> bytes:
    body = store.read_now(blob, KEPT)
    if body is None:
        body = b"".join([chunk async for chunk in store.read(blob)])
    if len(body) != size:
        raise CannotTell("a rendered page is damaged on the disk; ask again", retry_after=1)
    return body
