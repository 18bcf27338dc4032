"""Taking in what an upstream's page says: the document is kept, and rows learn what it says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from reliquary.catalog.records import NewFile, Renewal
from reliquary.formats.base import Format
from reliquary.repositories.lists import Held
from reliquary.repositories.rows import new_file
from reliquary.types import Digests, Entry, StoredFile

log = structlog.get_logger("reliquary.absorb")


@dataclass(frozen=True, slots=True)
class Absorption:
    """One document on its way into the catalog.

    Args:
        title: of the repository, for the log.
        held: what the document lists.
        earlier: what the one before it listed; None where nothing was known of the page, so that
            its files' age is unknown too.
        now: when it was read, UTC.
    """

    title: str
    format: Format
    held: Held
    earlier: Held | None
    now: datetime

    @property
    def changed(self) -> bool:
        """Whether pages made of the document differ from those made of the one before."""
        return self.earlier is None or self.earlier.reading != self.held.reading

    def renew(self, stored: Sequence[StoredFile]) -> Renewal:
        """What becomes of the rows that are there, and rows for files that have just appeared."""
        stale = [row for row in stored if self._contradicted(row)]
        if stale:
            log.warning("upstream put new bytes under an old name", repository=self.title, files=len(stale))
        ids = {row.id for row in stale}
        kept = {row.entry.key: row for row in stored if row.id not in ids}
        files = [self._renewed(row, entry) for row in kept.values() if (entry := self.held.find(row.entry.key))]
        # What upstream removed stays as long as its bytes are here: somebody depends on it.
        whole = self.held.reading.whole
        gone = [row for key, row in kept.items() if whole and key not in self.held.places and row.blob is None]
        return Renewal([*files, *self._superseded(kept), *self._appeared(kept)], [*ids, *(row.id for row in gone)])

    def _contradicted(self, row: StoredFile) -> bool:
        """Whether the page now names other bytes under the same address: neither the bytes nor the
        ETag that were fixed for them may be served any more."""
        entry = self.held.find(row.entry.key)
        return entry is not None and contradict(row.entry.digests, entry.digests)

    def _renewed(self, row: StoredFile, entry: Entry) -> NewFile:
        if entry.published is None and row.entry.published is not None:
            entry = replace(entry, published=row.entry.published)
        if row.blob is not None or row.verified_by is not None:
            # Bytes that were evicted taught us as much as bytes that are here.
            entry = self.format.renew(replace(row.entry, size=row.size), entry)
        return new_file(self.format, entry, self.now, first_seen=row.first_seen)

    def _superseded(self, kept: Mapping[str, StoredFile]) -> list[NewFile]:
        """Stored files whose names the page gives to other bytes: their addresses live on, for lock
        files, but the page lists each name once."""
        old = [row for key, row in kept.items() if key not in self.held.places and row.blob and row.entry.listed]
        names = {entry.filename for entry in self.held.reading.entries if entry.listed} if old else set()
        return [
            new_file(self.format, replace(row.entry, listed=False), self.now, first_seen=row.first_seen)
            for row in old
            if row.entry.filename in names
        ]

    def _appeared(self, kept: Mapping[str, StoredFile]) -> list[NewFile]:
        """Files that came between two looks: their age is known, by our own clock."""
        if self.earlier is None:
            return []
        before = self.earlier.places
        return [
            new_file(self.format, replace(entry, published=entry.published or self.now), self.now)
            for key, at in self.held.places.items()
            if key not in before and key not in kept and (entry := self.held.reading.entries[at]).listed
        ]


def contradict(old: Digests, new: Digests) -> bool:
    """Whether two sets of digests are of different bytes."""
    return any(old[algorithm] != new[algorithm] for algorithm in old.keys() & new.keys())
