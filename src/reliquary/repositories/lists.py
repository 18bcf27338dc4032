"""What upstreams' pages list: read from the documents that are kept, and remembered for a while.

A public index lists a hundred files for each that is ever asked for. So the document itself is
kept, packed, and rows stand only for files that are here, were here, or came between two looks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

import orjson
from backports import zstd

from reliquary.blobs.base import BlobStore
from reliquary.errors import Broken, Malformed, NotHere, Unavailable
from reliquary.formats.base import Compact, FileKey, Format, Reading, Source
from reliquary.repositories.base import Row
from reliquary.repositories.labour import Labour
from reliquary.repositories.rows import etag_of
from reliquary.types import Entry, StoredFile

FOUND = 1000
"""Entries that were looked for alone and are remembered: a file is looked up when it is asked for,
and again when it is here."""


class Read(Protocol):
    """A format's `read` of one page."""

    def __call__(self, source: Source, file: FileKey | None = None) -> Reading: ...


LIGHT = 65_536
"""Bytes of a document up to which it is read where it arrives; a thread would cost more."""
_CHECKED = {int(zstd.CompressionParameter.compression_level): 1, int(zstd.CompressionParameter.checksum_flag): 1}


def pack(source: Source) -> bytes:
    """A document with what reading it again takes; the same bytes for the same document."""
    head = orjson.dumps([source.url, source.content_type])
    return bytes(zstd.compress(head + b"\n" + source.body, options=_CHECKED))


def unpack(packed: bytes) -> Source:
    """What `pack` packed; raises Malformed for anything else."""
    try:
        head, _, body = zstd.decompress(packed).partition(b"\n")
        url, content_type = orjson.loads(head)
    except (zstd.ZstdError, ValueError) as error:
        raise Malformed("the kept document is damaged") from error
    return Source(url, content_type, body)


@dataclass(slots=True)
class Held:
    """One reading, found by key, and its files as pages list them, by media type."""

    reading: Reading
    places: dict[str, int]
    rows: dict[str, list[Row]] = field(default_factory=dict)

    @classmethod
    def of(cls, reading: Reading) -> Held:
        """Index a reading."""
        entries = reading.entries
        keys = entries.keys() if isinstance(entries, Compact) else [entry.key for entry in entries]
        return cls(reading, dict(zip(keys, range(len(keys)), strict=True)))

    def find(self, key: str) -> Entry | None:
        """The entry at a key, or None."""
        at = self.places.get(key)
        return None if at is None else self.reading.entries[at]

    def listed(self, format: Format, media: str) -> list[Row]:
        """The listed files with what pages of this media type say of them, in their order."""
        found = self.rows.get(media)
        if found is None:
            entries = self.reading.entries
            if isinstance(entries, Compact):
                found = [Row(*row) for row in entries.listed(media)]
            else:
                found = [row_of(format, entry, media) for entry in entries if entry.listed]
            self.rows[media] = found
        return found

    @property
    def weight(self) -> int:
        """Roughly how much it holds, in entries."""
        return len(self.reading.entries) + len(self.reading.names) // 4 + self.reading.weight


def row_of(format: Format, entry: Entry, media: str) -> Row:
    """A listed file as pages of a media type say it."""
    return Row(entry.key, entry.name, entry.filename, entry.version, format.fragment(entry, media))


def unfetched(repository_id: int, entry: Entry, since: datetime) -> StoredFile:
    """A file that a page lists and that has no row: what its row would say."""
    return StoredFile(
        id=0,
        repository_id=repository_id,
        entry=entry,
        blob=None,
        size=entry.size,
        etag=etag_of(entry),
        modified=entry.published or since,
        first_seen=since,
    )


class Lists:
    """Kept documents, and the readings of those that were needed lately.

    Args:
        store: where documents are.
        labour: reads large ones.
        most: entries that the remembered readings may have together; a reading of more is not remembered.
    """

    def __init__(self, store: BlobStore, labour: Labour, most: int = 20_000) -> None:
        self._store = store
        self._labour = labour
        self._most = most
        self._weight = 0
        self._held: OrderedDict[tuple[int, str, str], Held] = OrderedDict()
        self._found: OrderedDict[tuple[int, str, str], Entry | None] = OrderedDict()

    async def keep(self, source: Source) -> str:
        """Store a document; the blob that holds it now."""
        packed = pack(source) if len(source.body) < LIGHT else await self._labour.do(partial(pack, source))
        return (await self._store.put(packed, durable=False)).blob

    async def read(self, source: Source, read: Callable[[Source], Reading]) -> Held:
        """Read a document, in a thread if it is large; raises what ``read`` raises."""
        if len(source.body) < LIGHT:
            return Held.of(read(source))
        return await self._labour.do(lambda: Held.of(read(source)))

    async def held(self, repository_id: int, path: str, blob: str, read: Read) -> Held | None:
        """The reading of the document that is kept for a page; None when it is not here any more, or
        damaged. Two pages may be read from one document, where an upstream sends both to one address."""
        found = self._held.get((repository_id, path, blob))
        if found is not None:
            self._held.move_to_end((repository_id, path, blob))
            return found
        source = await self._source(blob)
        if source is None:
            return None
        try:
            found = await self.read(source, partial(read, file=None))
        except (Malformed, Unavailable):
            await self._store.delete(blob)
            return None
        self.remember(repository_id, path, blob, found)
        return found

    async def find(self, repository_id: int, path: str, blob: str, key: FileKey, read: Read) -> Entry | None:
        """One entry of the document that is kept for a page; the rest is not read where the format
        can do without."""
        held = self._held.get((repository_id, path, blob))
        at = (repository_id, blob, key.path)
        if held is None and at in self._found:
            return self._found[at]
        if held is None:
            source = await self._source(blob)
            if source is None:
                return None
            work = partial(read, source, file=key)
            try:
                reading = work() if len(source.body) < LIGHT else await self._labour.do(work, begun=True)
            except (Malformed, Unavailable):
                await self._store.delete(blob)
                return None
            held = Held.of(reading)
            self._found[at] = held.find(key.path)
            while len(self._found) > FOUND:
                self._found.popitem(last=False)
        return held.find(key.path)

    async def _source(self, blob: str) -> Source | None:
        """A kept document. One that is damaged goes, so that the next look at the upstream brings it."""
        try:
            packed = b"".join([chunk async for chunk in self._store.read(blob)])
            if len(packed) < LIGHT // 8:
                return unpack(packed)
            return await self._labour.do(partial(unpack, packed), begun=True)
        except NotHere:
            return None
        except (Malformed, Broken):
            await self._store.delete(blob)
            return None

    def remember(self, repository_id: int, path: str, blob: str, held: Held) -> None:
        """Take a reading in, and let go of the least recently used ones."""
        if held.weight > self._most or (repository_id, path, blob) in self._held:
            return
        self._held[repository_id, path, blob] = held
        self._weight += held.weight
        while self._weight > self._most:
            _, old = self._held.popitem(last=False)
            self._weight -= old.weight

    async def have(self, blob: str | None) -> bool:
        """Whether a document is here."""
        return blob is not None and await self._store.size(blob) is not None
