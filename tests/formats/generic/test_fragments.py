from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reliquary.formats.base import Listed, Listing, PageKey, Pen
from reliquary.formats.generic import FORMAT
from reliquary.types import Entry

ENTRY = Entry(
    key="a/b.txt",
    name="a/b.txt",
    version="",
    filename="b.txt",
    scope="a/",
    size=5,
    published=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)


@pytest.mark.parametrize("media", ["application/json", "text/html"])
def test_a_page_needs_no_more_of_a_file_than_its_own_type(media: str) -> None:
    pen = Pen(datetime(2026, 11, 20, tzinfo=UTC), "generic/main")
    whole, part = FORMAT.fragment(ENTRY), FORMAT.fragment(ENTRY, media)
    pages = [
        FORMAT.assemble([PageKey("a/", "a/", children="a/")], Listing([Listed("b.txt", "", fragment)]), pen, media)
        for fragment in (whole, part)
    ]
    assert pages[0] == pages[1]
    assert b"b.txt" in pages[0][0].body
    assert len(part) < len(whole)
