"""Making file rows from entries."""

from __future__ import annotations

import hashlib
from datetime import datetime

from reliquary.catalog.records import NewFile
from reliquary.formats.base import Format
from reliquary.types import Entry


def etag_of(entry: Entry) -> str:
    """A file's ETag, fixed when its row is made: the SHA-256 where it is known, else a name made
    from the key and whatever digest the index gave."""
    if sha256 := entry.digests.get("sha256"):
        return sha256
    named = ",".join(f"{name}={digest}" for name, digest in sorted(entry.digests.items()))
    return "k-" + hashlib.sha256(f"{entry.key}\n{named}\n{entry.url}".encode()).hexdigest()[:40]


def new_file(format: Format, entry: Entry, now: datetime, *, first_seen: datetime | None = None) -> NewFile:
    """A row without bytes, with its fragment rendered."""
    return NewFile(
        entry=entry,
        fragment=format.fragment(entry),
        etag=etag_of(entry),
        modified=entry.published or first_seen or now,
        first_seen=first_seen or now,
    )
