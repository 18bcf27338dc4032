"""The Format object of generic: members that need no module of their own stand here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reliquary.errors import ReliquaryError
from reliquary.formats.base import (
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
from reliquary.formats.generic import index, paths
from reliquary.formats.usual import Usual
from reliquary.formats.verbs import Reply
from reliquary.types import Entry


@dataclass(frozen=True, slots=True)
class Generic(Usual):
    """Implements `reliquary.formats.base.Format`."""

    name: str = "generic"
    title: str = "Plain files"
    public: Public | None = None
    challenges: tuple[str, ...] = ('Basic realm="Reliquary"',)

    def match(self, method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
        return paths.match(method, segments, query)

    def manner(self, key: FileKey | PageKey) -> Manner:
        return paths.manner(key)

    def locate(self, key: FileKey | PageKey, base: str) -> str | None:
        return paths.locate(key, base)

    def ask(self, key: FileKey | PageKey) -> Mapping[str, str]:
        return {"accept": "text/html, */*;q=0.5"} if isinstance(key, PageKey) else {}

    def read(self, key: PageKey, source: Source, file: FileKey | None = None) -> Reading:
        return index.read(key, source)

    def fragment(self, entry: Entry, media: str | None = None) -> bytes:
        return index.fragment(entry, media)

    def assemble(
        self, keys: Sequence[PageKey], listing: Listing, pen: Pen, media: str | None = None
    ) -> Sequence[Rendered]:
        return [page for key in keys for page in index.assemble(key, listing, pen, media)]

    def pages(self, scope: str) -> Sequence[PageKey]:
        return [paths.folder(scope)]

    def touches(self, entry: Entry) -> Sequence[Touch]:
        return [Touch(scope) for scope in paths.folders_around(entry.key)]

    def renew(self, known: Entry, new: Entry) -> Entry:
        return replace(new, size=known.size, digests=known.digests) if new.size is None else new

    def dress(self, error: ReliquaryError, accept: str) -> Reply:
        return Reply(error.status, f"{error.message}\n".encode())

    def clients(self, base_url: str) -> Sequence[Client]:
        return [Client("curl", (f"curl -T file.bin {base_url}path/to/file.bin", f"curl -O {base_url}path/to/file.bin"))]
