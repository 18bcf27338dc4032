"""The Format object of go: what the core asks of Go modules, and who answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO

from reliquary.errors import ReliquaryError
from reliquary.formats.base import (
    Arrival,
    Client,
    FileKey,
    Listing,
    Manner,
    Match,
    PageKey,
    Pen,
    Public,
    Reading,
    Rendered,
    Source,
    Touch,
)
from reliquary.formats.go import dress, index, keys, paths, reading
from reliquary.formats.usual import Usual
from reliquary.formats.verbs import Reply
from reliquary.types import Entry

_PUBLIC = Public(client="go", purl="pkg:golang/rsc.io/quote@v1.5.2")


@dataclass(frozen=True, slots=True)
class Go(Usual):
    """Implements `reliquary.formats.base.Format`."""

    name: str = "go"
    title: str = "Go"
    public: Public | None = _PUBLIC
    challenges: tuple[str, ...] = ('Basic realm="Reliquary"',)
    learns: bool = True

    def match(self, method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
        return paths.match(method, segments, query)

    def manner(self, key: FileKey | PageKey) -> Manner:
        return paths.manner(key)

    def locate(self, key: FileKey | PageKey, base: str) -> str | None:
        return reading.locate(key, base)

    def question(self, path: str, base: str, told: Mapping[str, str]) -> str | None:
        return None

    def ask(self, key: FileKey | PageKey) -> Mapping[str, str]:
        return {}

    def read(self, key: PageKey, source: Source, file: FileKey | None = None) -> Reading:
        return reading.read(key, source)

    def fragment(self, entry: Entry, media: str | None = None) -> bytes:
        return index.fragment(entry)

    def assemble(
        self, keys: Sequence[PageKey], listing: Listing, pen: Pen, media: str | None = None
    ) -> Sequence[Rendered]:
        return [index.assemble(key, listing) for key in keys]

    def pages(self, scope: str) -> Sequence[PageKey]:
        """The list alone: it names files, and says whether there is such a module."""
        return [keys.listing(scope)] if scope and not scope.startswith(keys.SUMDB) else []

    def touches(self, entry: Entry) -> Sequence[Touch]:
        return [Touch(entry.scope)]

    def arrive(self, entry: Entry, file: IO[bytes]) -> Arrival | None:
        return reading.arrive(entry, file)

    def renew(self, known: Entry, new: Entry) -> Entry:
        """Lists name versions and no more: what our bytes taught stays."""
        digests, data = {**known.digests, **new.digests}, {**new.data, **known.data}
        return replace(new, size=known.size, digests=digests, data=data)

    def dress(self, error: ReliquaryError, accept: str) -> Reply:
        return dress.dress(error, accept)

    def recognise(self, filename: str) -> tuple[str, ...] | None:
        return (filename,) if "@" in filename and filename.endswith(keys.ZIP) else None

    def clients(self, base_url: str) -> Sequence[Client]:
        return [
            Client("go", (f"export GOPROXY={base_url.rstrip('/')}",)),
            Client("curl", (f"curl -u __token__:TOKEN -T module.zip {base_url}",)),
        ]


FORMAT = Go()
