"""Pages of one common form, read without making an entry of every link.

A mirror's page names ten thousand wheels, of which one is asked for. What pages and lookups need
of a link is taken out of the text at once; its entry is made when somebody wants it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from reliquary.formats.base import PageKey
from reliquary.formats.entries import Entries
from reliquary.formats.pypi import index, markup, names
from reliquary.formats.pypi.addresses import Addresses
from reliquary.formats.pypi.negotiate import JSON_V1
from reliquary.types import Entry

_USUAL = re.compile(
    r'<a href="('
    r"(https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/|(?:\.\./)++|/)"
    r"(?:[A-Za-z0-9_~%+!-][A-Za-z0-9._~%+!-]*+/)*+"
    r"(([A-Za-z0-9_][A-Za-z0-9_.]*+-[A-Za-z0-9_.]*+)[A-Za-z0-9._-]*+)(?:(?<=\.whl)|(?<=\.tar\.gz))"
    r"#sha256=([0-9a-f]{64}))\""
    r'((?: data-(?!upload-time)[a-z-]++="[^"<]*+")*+)'
    r'(?: data-upload-time="([12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.(?!000000)[0-9]{6})?Z)")?+'
    r'((?: data-(?!upload-time)[a-z-]++="[^"<]*+")*+) ?>([^<>&]*+)</a>'
)
"""A link whose parts stand in a page as they stand in an address: nothing to quote, escape or guess."""
_STEP = _USUAL.groups + 1
_UNUSUAL = frozenset(
    ("data-core-metadata", "data-dist-info-metadata", "data-provenance", "data-size", "data-upload-time")
)
"""Attributes that differ from file to file."""

Make: TypeAlias = Callable[[markup.Anchor], Sequence[Entry]]
"""The entries of an anchor: none, the file's, or the file's and its sidecar's."""
Row: TypeAlias = tuple[str, str, str, str, bytes]
"""Key, name, file name, version and fragment of a listed file."""


Say: TypeAlias = Callable[[Mapping[str, str]], Mapping[str, Any]]
"""The data (`Entry.data`) that attributes of a link give its entry."""
Link: TypeAlias = tuple[str, str, str, str, str, str | None, str, str, str]
"""Key, file name, version, address, digest, time, the end of the JSON object, the other attributes and the text."""


class Links(Entries["Link | Entry"]):
    """The entries of a page, each made when it is asked for; equal to a list of the same entries.

    Args:
        name: the project's normal name.
        make: makes the entries of an anchor.
        items: links of the common form, and entries of others, in the order of the page.
    """

    def __init__(self, name: str, make: Make, items: Sequence[Link | Entry]) -> None:
        self._name = name
        super().__init__(items)
        self._make = make

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Links) and self._items == other._items:
            return True
        return isinstance(other, Sequence) and list(self) == list(other)

    def keys(self) -> list[str]:
        """The keys of all entries, in their order."""
        return [item.key if isinstance(item, Entry) else item[0] for item in self._items]

    def listed(self, media: str) -> list[Row]:
        """The listed files as pages of a media type show them."""
        if media != JSON_V1:
            return [self._row(entry, media) for entry in self if entry.listed]
        found: list[Row] = []
        name = self._name
        for item in self._items:
            if isinstance(item, Entry):
                found += [self._row(item, media)] if item.listed else []
                continue
            key, filename, version, _, sha256, time, ending, _, _ = item
            moment = f',"upload-time":"{time}"' if time else ""
            row = f'{{"filename":"{filename}","url":"../../{key}","hashes":{{"sha256":"{sha256}"}}{moment}{ending}'
            found.append((key, name, filename, version, row.encode()))
        return found

    def _row(self, entry: Entry, media: str) -> Row:
        return entry.key, entry.name, entry.filename, entry.version, index.fragment(entry, media)

    def _entry(self, item: Link | Entry) -> Entry:
        if isinstance(item, Entry):
            return item
        _, _, _, href, _, time, _, attributes, text = item
        return self._make((href, _given(attributes, time), text))[0]


def read(key: PageKey, text: str, addresses: Addresses, make: Make, say: Say) -> tuple[markup.Page, Links] | None:
    """The links of a project's page, and what else it says; None where it is not in the plain form.

    Args:
        text: the document.
        addresses: resolve its links.
    """
    pieces = _USUAL.split(text)
    rest = markup.between(pieces[::_STEP]) if len(pieces) > 1 else None
    if rest is None:
        return None
    page, odd = rest
    try:
        items = _items(key.name, pieces, odd, addresses, make, say)
    except markup.Odd:
        return None
    return page, Links(key.name, make, items)


def _items(
    project: str,
    pieces: Sequence[str],
    odd: Mapping[int, Sequence[markup.Anchor]],
    addresses: Addresses,
    make: Make,
    say: Say,
) -> list[Link | Entry]:
    """Usable links; of two of one file name the first counts."""
    items: list[Link | Entry] = []
    seen: set[str] = set()
    endings: dict[str, str | None] = {}
    versions: dict[str, str | None] = {}

    def others(anchors: Sequence[markup.Anchor]) -> None:
        for anchor in anchors:
            made = make(anchor)
            if made and made[0].filename not in seen:
                seen.add(made[0].filename)
                items.extend(made)

    columns = [pieces[at::_STEP] for at in range(1, _STEP)]
    for at, (href, place, filename, head, sha256, before, time, after, label) in enumerate(zip(*columns, strict=True)):
        if at in odd:
            others(odd[at])
        attributes = before + after if after else before
        if attributes not in endings:
            endings[attributes] = _ending(attributes, say)
        ending = endings[attributes]
        if ending is None or len(filename) > names.LONGEST or (time is not None and not _is_time(time)):
            others([(href, _given(attributes, time), label)])
            continue
        if filename[-1] == "l" and head != filename:
            if head not in versions:
                versions[head] = names.version_in(f"{head}-x.whl", project)
            version = versions[head]
        else:
            version = names.version_in(filename, project)
        if version is None or filename in seen or addresses.above(place) is None:
            continue
        seen.add(filename)
        key = f"files/{project}/{sha256}/{filename}"
        items.append((key, filename, version, href, sha256, time, ending, attributes, label))
    others(odd.get(len(columns[0]), ()))
    return items


def _ending(attributes: str, say: Say) -> str | None:
    """What a link's attributes say of its file, as JSON; None where that is more than many links share."""
    given = markup.attributes(attributes)
    return index.ending(say(given)) if _UNUSUAL.isdisjoint(given) else None


def _given(attributes: str, time: str | None) -> dict[str, str]:
    given = markup.attributes(attributes)
    return given if time is None else given | {"data-upload-time": time}


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
