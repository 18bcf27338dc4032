"""One download from an upstream: where to ask, how, and what its head says."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from reliquary.blobs.ledger import Head
from reliquary.errors import Mismatch, NotHere, Unavailable
from reliquary.formats.base import FileKey
from reliquary.types import Entry, UpstreamState
from reliquary.upstream.base import Answer, Missing, Unchanged, Upstream

if TYPE_CHECKING:
    from reliquary.repositories.proxy import Proxy

WEB = ("text/html", "application/xhtml+xml")


class Download:
    """A file of a proxy at its upstreams: at the address its entry names, else at the place that
    follows from its path, at each upstream in turn."""

    def __init__(self, proxy: Proxy, key: FileKey, entry: Entry) -> None:
        self._proxy = proxy
        self._key = key
        self._entry = entry

    async def _places(self) -> list[tuple[Upstream, str]]:
        """Raises Unavailable where the upstreams must tell and do not."""
        upstreams, url = self._proxy.upstreams, self._entry.url
        if url is not None:
            # Credentials belong to the upstream whose page named the file.
            near = [each for each in upstreams if url.startswith(each.base)]
            return [((near or list(upstreams))[0], url)]
        found = [(each, place) for each in upstreams if (place := await self._place(each)) is not None]
        if not found and any(self._proxy.format.guide(each.base) for each in upstreams):
            raise Unavailable(f"the upstream of {self._proxy.spec.title} does not tell where its files are")
        return found

    async def _place(self, upstream: Upstream) -> str | None:
        place = self._proxy.format.locate(self._key, upstream.base)
        if place is not None or self._proxy.format.guide(upstream.base) is None:
            return place
        with suppress(NotHere):
            return self._proxy.format.direct(self._entry, await self._proxy.told(upstream))
        return None

    @asynccontextmanager
    async def begin(self, state: UpstreamState | None) -> AsyncIterator[Answer | None]:
        """The whole file, or None when the upstream confirmed what ``state`` knows.

        Raises:
            NotHere: every upstream said so.
            Unavailable: one could not tell.
        """
        for upstream, url in await self._places():
            headers = dict(self._proxy.format.ask(self._key))
            if state is not None and state.url == url:
                headers |= {"if-none-match": state.etag} if state.etag else {}
                headers |= {"if-modified-since": state.modified} if state.modified and not state.etag else {}
            async with upstream.open(url, headers=headers) as answer:
                if isinstance(answer, Missing):
                    continue
                if isinstance(answer, Unchanged):
                    yield None
                    return
                if answer.status != 200:
                    raise Unavailable("the upstream sent a part where the whole was asked")
                yield answer
                return
        raise NotHere(f"the upstream of {self._proxy.spec.title} has no {self._key.path}")

    def head(self, answer: Answer) -> Head:
        """What is known before the first byte.

        Raises:
            Mismatch: the length is not the index's.
            Unavailable: a web page came in place of a file that no digest would tell from it.
        """
        promised = self._entry.size
        if not self._entry.digests and self._portal(answer):
            raise Unavailable("the upstream sent a web page where a file of another kind was asked for")
        if promised is not None and answer.size is not None and promised != answer.size:
            raise Mismatch(f"the upstream announces {answer.size} bytes where its index names {promised}")
        modified = _date(answer) or self._proxy.now()
        return Head(
            size=answer.size if answer.size is not None else promised,
            content_type=answer.headers.get("content-type"),
            etag=answer.headers.get("etag"),
            modified=modified,
        )

    def _portal(self, answer: Answer) -> bool:
        """Whether the answer's type cannot be that of the file: some network's login page is."""
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        filename = self._entry.filename
        known = self._proxy.format.manner(self._key).immutable or any(mimetypes.guess_type(filename))
        return kind in WEB and known and mimetypes.guess_type(filename)[0] not in WEB

    @asynccontextmanager
    async def span(self, start: int, stop: int) -> AsyncIterator[Answer | None]:
        """Bytes ``start`` to ``stop`` (exclusive), or None where the upstream gives no ranges."""
        upstream, url = (await self._places())[0]
        headers = {**self._proxy.format.ask(self._key), "range": f"bytes={start}-{stop - 1}"}
        async with upstream.open(url, headers=headers) as answer:
            usable = not isinstance(answer, Missing | Unchanged) and answer.status == 206
            yield answer if usable and not isinstance(answer, Missing | Unchanged) else None

    async def measure(self) -> tuple[int | None, datetime | None]:
        """Size and date by HEAD; (None, None) where the upstream does not tell them."""
        for upstream, url in await self._places():
            try:
                async with upstream.open(url, method="HEAD", headers=self._proxy.format.ask(self._key)) as answer:
                    if isinstance(answer, Missing):
                        continue
                    if isinstance(answer, Unchanged):
                        return None, None
                    return answer.size, _date(answer)
            except Unavailable:
                return None, None
        raise NotHere(f"the upstream of {self._proxy.spec.title} has no {self._key.path}")


def _date(answer: Answer) -> datetime | None:
    try:
        return min(parsedate_to_datetime(answer.headers["last-modified"]), datetime.now(UTC))
    except (KeyError, ValueError, TypeError):
        return None
