"""Index files: a line for each version, in the order of publishing, put together as they are kept."""

from __future__ import annotations

from reliquary.errors import NotHere
from reliquary.formats.base import Listing, Offer, PageKey, Rendered
from reliquary.formats.cargo import names
from reliquary.types import Entry

TEXT = Offer("text/plain", "text/plain; charset=utf-8", ("application/json", "application/octet-stream"))


def fragment(entry: Entry) -> bytes:
    """A version's line; b"" for an unlisted entry."""
    return rendered(entry.data["line"].encode()) if entry.listed else b""


def rendered(line: bytes) -> bytes:
    """A line as the file has it."""
    return line + b"\n"


def assemble(key: PageKey, listing: Listing) -> Rendered:
    """A crate's index file; raises NotHere where no version is listed: cargo takes an empty file for a crate."""
    if not listing.files:
        raise NotHere(f"there is no crate {names.shown(key.scope)}")
    return Rendered(key.path, TEXT.media, b"".join(file.fragment for file in listing.files))
