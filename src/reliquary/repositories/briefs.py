"""Documents about single files: what a lock file needs on an empty cache, where each page lists thousands."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from reliquary.errors import Malformed, Unavailable
from reliquary.formats.base import FileKey, Source
from reliquary.repositories.context import Context
from reliquary.repositories.lists import unfetched
from reliquary.types import StoredFile
from reliquary.upstream.base import Document

if TYPE_CHECKING:
    from reliquary.repositories.proxy import Proxy

LARGEST = 262_144
"""Bytes of such a document."""
REMEMBERED = 1000
"""Documents that are remembered at a time."""
AGAIN = 10.0
"""Seconds that one is remembered."""
WITHOUT = 600.0
"""Seconds an upstream without such documents is not asked for one."""


class Briefs:
    """The documents about single files of one proxy's upstreams."""

    def __init__(self, proxy: Proxy, context: Context) -> None:
        self._proxy = proxy
        self._context = context
        self._without = 0.0
        self._known: dict[str, tuple[float, StoredFile | None]] = {}

    async def find(self, key: FileKey) -> StoredFile | None:
        """What an upstream says of one file, as long as nothing is known of its package. None where there is no
        such document: the page tells."""
        context, proxy = self._context, self._proxy
        if context.monotonic() < self._without:
            return None
        for page in proxy.format.pages(key.scope):
            if await context.catalog.pages.state(proxy.spec.id, page.path) is not None:
                return None
        until, known = self._known.get(key.path, (0.0, None))
        if until < context.monotonic():
            known = await context.flights.join(("brief", proxy.spec.id, key.path), lambda: self._ask(key))
            if len(self._known) > REMEMBERED:
                self._known.clear()
            # Those who ask while the bytes come read along: until these have a row, nothing else tells of them.
            self._known[key.path] = (context.monotonic() + AGAIN, known)
        return known

    def lacking(self) -> None:
        """A page lists a file that has no document of its own: others have none either."""
        self._without = self._context.monotonic() + WITHOUT

    async def _ask(self, key: FileKey) -> StoredFile | None:
        format = self._proxy.format
        for upstream in self._proxy.upstreams:
            url = format.brief(key, upstream.base)
            if url is None:
                return None
            with suppress(Unavailable, Malformed):
                found = await upstream.fetch(url, headers=format.ask(key), limit=LARGEST, aside=True)
                if isinstance(found, Document):
                    entry = format.glean(key, Source(found.url, found.content_type, found.body, found.headers))
                    return unfetched(self._proxy.spec.id, entry, self._context.now()) if entry is not None else None
        return None
