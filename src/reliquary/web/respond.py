"""Hits to answers: validators, ranges, cache headers and bytes, once for every format."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reliquary.blobs.base import CHUNK, BlobStore
from reliquary.errors import CannotTell, NotHere, ReliquaryError
from reliquary.formats.base import FileKey, Manner, PageKey
from reliquary.formats.verbs import Reply
from reliquary.repositories.base import FileHit, Flowing, PageHit, Stored
from reliquary.types import Kind, RepositorySpec
from reliquary.web import conditions
from reliquary.web.quick import Quick
from reliquary.web.request import Left, Request
from reliquary.web.server import TARGET

YEAR = 31_536_000
FAR = 4_194_304
"""Bytes past the fill at which a range is asked of the upstream instead of waited for."""


class Gone(ReliquaryError):
    """The blob behind a hit is not in the store; never leaves web."""

    def __init__(self, blob: str) -> None:
        super().__init__("the bytes are missing")
        self.blob = blob


@dataclass(frozen=True, slots=True)
class Responder:
    """Sends hits. ``page_life`` bounds what clients may keep of proxied pages, in seconds; ``downloaded`` is told the
    repository and the key of each file that is sent."""

    store: BlobStore
    page_life: int
    downloaded: Callable[[int, str], None]

    # Pages

    async def page(
        self, request: Request, key: PageKey, manner: Manner, hit: PageHit, spec: RepositorySpec, quick: Quick
    ) -> None:
        """Send a page: 304, or its bytes in the chosen variant; what anybody may have is kept ready."""
        sent = conditions.stamp(hit.modified, request.now())
        headers = [
            ("etag", conditions.quoted(hit.etag)),
            ("last-modified", conditions.http_date(int(sent.timestamp()))),
            ("cache-control", self._page_cache(manner, spec)),
            ("vary", vary(manner)),
            *manner.headers,
            *hit.headers,
        ]
        if hit.stale:
            headers.append(("warning", '110 reliquary "Response is Stale"'))
        if hit.partial:
            headers.append(("warning", '199 reliquary "A member of this group is down"'))
        if conditions.check(request.headers, hit.etag, _second(hit.modified)):
            await request.start(304, headers)
            await request.end()
            return
        offer = next(each for each in manner.offers if each.media == hit.media)
        more = [("content-type", offer.content_type), ("content-length", str(hit.size))]
        more.append(("x-content-type-options", "nosniff"))
        if hit.coding != "identity":
            more.append(("content-encoding", hit.coding))
        if request.method == "HEAD":
            await request.start(200, headers + more)
            await request.end()
        elif hit.body is not None:
            if spec.anonymous_read and sent == _second(hit.modified):
                target = request.scope.get(TARGET, b"")
                quick.keep(target, request.scope["headers"], (spec.id, key.place), hit, headers, more)
            await request.start(200, headers + more)
            await request.end(hit.body)
        else:
            await self._send(request, 200, headers + more, self.store.read(hit.blob), hit.blob)

    def _page_cache(self, manner: Manner, spec: RepositorySpec) -> str:
        private = "" if spec.anonymous_read else "private, "
        if spec.kind is Kind.PROXY and manner.max_age and not manner.prompt:
            return f"{private}max-age={min(manner.max_age, self.page_life, 600)}"
        return f"{private}max-age=0, must-revalidate"

    # Files

    def unchanged(self, request: Request, hit: FileHit) -> bool:
        """Whether a file is answered with 304; raises PreconditionFailed."""
        return conditions.check(request.headers, hit.etag, _second(hit.modified))

    async def file(
        self,
        request: Request,
        key: FileKey,
        manner: Manner,
        hit: FileHit,
        spec: RepositorySpec,
        quick: Quick,
        since: int,
    ) -> None:
        """Send a file: 304, 412, 416, a range or the whole; a small one that anybody may have for ever is
        kept ready. Raises Gone before the first byte when the store has lost it.

        Args:
            since: what had been dropped before the file was looked for (`Quick.keep_file`).
        """
        sent = conditions.stamp(hit.modified, request.now()) if hit.modified else None
        headers = self._file_headers(manner, hit, spec, sent)
        if self.unchanged(request, hit):
            await request.start(304, headers)
            await request.end()
            return
        more = _kind(manner)
        if request.method == "HEAD":
            sized = [("content-length", str(hit.size))] if hit.size is not None else []
            await request.start(200, headers + more + sized)
            await request.end()
            return
        ranged = conditions.span(request.headers, hit.size, hit.etag, _second(hit.modified)) if manner.ranges else None
        body = self._small(hit) if ranged is None and isinstance(hit, Stored) else None
        if body is not None and isinstance(hit, Stored):
            more.append(("content-length", str(hit.size)))
            settled = sent is None or sent == _second(hit.modified)
            if manner.immutable and spec.anonymous_read and hit.owner.anonymous_read and settled:
                target, at = request.scope.get(TARGET, b""), (hit.owner.id, key.path)
                quick.keep_file(target, request.scope["headers"], since, at, hit, headers, more, body)
        try:
            await self._bytes(request, hit, headers + more, ranged, body)
        except Left:
            self._count(hit, key, ranged)  # whoever comes back for the rest asks for a further range
            raise
        self._count(hit, key, ranged)

    def _count(self, hit: FileHit, key: FileKey, ranged: conditions.Span | None) -> None:
        """Count a download, but not the further ranges of one."""
        if ranged is None or ranged.start == 0:
            self.downloaded(hit.owner.id, key.path)

    async def _bytes(
        self,
        request: Request,
        hit: FileHit,
        headers: list[tuple[str, str]],
        ranged: conditions.Span | None,
        body: bytes | None,
    ) -> None:
        if body is not None:
            await request.start(200, headers)
            await request.end(body)
        elif isinstance(hit, Stored):
            await self._stored(request, hit, headers, ranged)
        elif isinstance(hit, Flowing):
            await self._flowing(request, hit, headers, ranged)

    def _file_headers(
        self, manner: Manner, hit: FileHit, spec: RepositorySpec, modified: datetime | None
    ) -> list[tuple[str, str]]:
        headers = list(manner.headers)
        if hit.etag is not None:
            headers.append(("etag", conditions.quoted(hit.etag)))
        if modified is not None:
            headers.append(("last-modified", conditions.http_date(int(modified.timestamp()))))
        public = "public" if spec.anonymous_read and hit.owner.anonymous_read else "private"
        if manner.immutable:
            headers.append(("cache-control", f"{public}, max-age={YEAR}, immutable"))
        elif hit.owner.kind is Kind.PROXY and spec.kind is Kind.PROXY:
            headers.append(("cache-control", f"{public}, max-age={min(manner.max_age, self.page_life, 600)}"))
        else:
            headers.append(("cache-control", f"{public}, max-age=0, must-revalidate"))
        return headers

    def _small(self, hit: Stored) -> bytes | None:
        """The bytes of a file that can be had at once, without a thread."""
        body = self.store.read_now(hit.blob, CHUNK) if hit.size <= CHUNK else None
        return body if body is not None and len(body) == hit.size else None

    async def _stored(
        self, request: Request, hit: Stored, headers: list[tuple[str, str]], ranged: conditions.Span | None
    ) -> None:
        if ranged is None:
            headers.append(("content-length", str(hit.size)))
            await self._send(request, 200, headers, self.store.read(hit.blob), hit.blob)
            return
        headers += _range_headers(ranged, hit.size)
        await self._send(request, 206, headers, self.store.read(hit.blob, ranged.start, ranged.stop), hit.blob)

    async def _flowing(
        self, request: Request, hit: Flowing, headers: list[tuple[str, str]], ranged: conditions.Span | None
    ) -> None:
        if ranged is not None and hit.size is not None and ranged.start > hit.fill.available + FAR:
            async with hit.reach(ranged.start, ranged.stop) as chunks:
                if chunks is not None:
                    kept = [pair for pair in headers if pair[0] != "cache-control"]
                    sent = [*kept, ("cache-control", "no-store"), *_range_headers(ranged, hit.size)]
                    await self._send(request, 206, sent, chunks, None)
                    return
            ranged = None
        if ranged is not None and hit.size is not None:
            chunks = hit.fill.read(ranged.start, ranged.stop)
            await self._send(request, 206, headers + _range_headers(ranged, hit.size), chunks, None)
            return
        if hit.size is not None:
            headers.append(("content-length", str(hit.size)))
        await self._send(request, 200, headers, hit.fill.read(), None)

    async def _send(
        self,
        request: Request,
        status: int,
        headers: list[tuple[str, str]],
        chunks: AsyncIterator[bytes],
        blob: str | None,
    ) -> None:
        """Stream; the first chunk is there before the status goes out, so that a lost blob is
        still an answer and not a cut connection."""
        try:
            first = await anext(chunks, b"")
        except NotHere as error:
            raise Gone(blob or "") from error
        try:
            await request.start(status, headers)
            await request.write(first)
            async for chunk in chunks:
                await request.write(chunk)
            await request.end()
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()


def _second(modified: datetime | None) -> datetime | None:
    """The whole second of a change, which is what clients can name."""
    return modified.replace(microsecond=0) if modified else None


def _kind(manner: Manner) -> list[tuple[str, str]]:
    """What the 200 of a file says of its kind."""
    headers = [("content-type", manner.offers[0].content_type), ("x-content-type-options", "nosniff")]
    if manner.sandbox:
        headers.append(("content-security-policy", "sandbox; default-src 'none'"))
    if manner.ranges:
        headers.append(("accept-ranges", "bytes"))
    return headers


def _range_headers(ranged: conditions.Span, size: int) -> list[tuple[str, str]]:
    return [
        ("content-range", f"bytes {ranged.start}-{ranged.stop - 1}/{size}"),
        ("content-length", str(ranged.stop - ranged.start)),
    ]


def vary(manner: Manner) -> str:
    """The request headers that could have changed the answer for a page."""
    names = (["Accept"] if len(manner.offers) > 1 else []) + (["Accept-Encoding"] if manner.codings else [])
    return ", ".join(names)


def error_headers(error: ReliquaryError, challenges: Sequence[str]) -> list[tuple[str, str]]:
    """What an error sends beside its body, by its class."""
    headers = [("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
    if error.status == 401:
        headers += [("www-authenticate", challenge) for challenge in challenges]
    if isinstance(error, CannotTell):
        headers.append(("retry-after", str(max(1, error.retry_after))))
    if (allow := getattr(error, "allow", None)) is not None:
        headers.append(("allow", ", ".join(allow)))
    if error.status == 416:
        headers += [("content-range", f"bytes */{getattr(error, 'size', 0)}"), ("accept-ranges", "bytes")]
    return headers


def with_headers(reply: Reply, more: list[tuple[str, str]]) -> Reply:
    """A reply with further headers, none of them twice but challenges."""
    have = {name for name, _ in reply.headers}
    return replace(reply, headers=(*reply.headers, *(pair for pair in more if pair[0] not in have)))
