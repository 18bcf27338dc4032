"""Index files and ``config.json`` of upstreams: what is taken from them, passed on, and not broken by.

Numbers in names are items of cargo.md, section 8.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from reliquary.errors import Malformed, NotHere
from reliquary.formats.base import Compact, FileKey, Listed, Listing, Reading, Source
from reliquary.formats.cargo import FORMAT, index, keys
from reliquary.types import Entry
from tests.formats.cargo.artefacts import line

BASE = "http://index.example/cargo/"
SUM = "ab" * 32


def text(*objects: dict[str, Any]) -> bytes:
    """An index file as some upstreams write it, with spaces."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in objects)


def read(body: bytes, name: str = "demo", file: FileKey | None = None) -> Reading:
    return FORMAT.read(keys.page(name), Source(BASE, "text/plain", body), file)


def pages(reading: Reading) -> bytes:
    """The page that is made of what was read."""
    return b"".join(FORMAT.fragment(entry) for entry in reading.entries)


def test_50_lines_are_passed_on_byte_for_byte() -> None:
    odd = (
        b'{"vers":"1.0.0", "cksum" : "%s","name":"Demo","deps":[],"zz":[1e400,{"\\u00e9":null}], "v":9}' % SUM.encode()
    )
    plain = json.dumps(line("Demo", "1.1.0", SUM)).encode()
    body = odd + b"\n" + plain + b"\n"
    reading = read(body)
    assert pages(reading) == body
    first, second = reading.entries
    assert (first.key, second.key) == (keys.crate_key("demo", "1.0.0"), keys.crate_key("demo", "1.1.0"))
    assert (first.name, first.scope, first.filename) == ("demo", "demo", "Demo-1.0.0.crate")
    assert first.digests == {"sha256": SUM}
    assert reading.properties["name"] == "Demo"


def test_19_a_proxied_pubtime_stays_as_it_came() -> None:
    told = ["2025-01-31T09:05:00Z", "2025-01-31T09:05:00.123+02:00", "2025-01-31", "yesterday", 7, None, ["x"]]
    body = text(*(line("demo", f"1.0.{at}", SUM, pubtime=each) for at, each in enumerate(told)))
    reading = read(body)
    assert pages(reading) == body
    times = [entry.published for entry in reading.entries]
    assert times[:2] == [datetime(2025, 1, 31, 9, 5, tzinfo=UTC), datetime(2025, 1, 31, 7, 5, 0, 123000, tzinfo=UTC)]
    assert times[3:] == [None] * 4


def test_49_the_order_is_the_upstream_s_and_each_version_comes_once() -> None:
    told = [line("demo", each, SUM) for each in ("2.0.0", "1.0.0", "10.0.0", "1.0.0+x", "2.0.0-rc.1")]
    twice = line("demo", "2.0.0", "cd" * 32)
    reading = read(text(*told, twice))
    assert [entry.version for entry in reading.entries] == ["2.0.0", "1.0.0", "10.0.0", "1.0.0+x", "2.0.0-rc.1"]
    assert reading.entries[0].digests == {"sha256": "cd" * 32}, "cargo too takes the last"


def test_lines_of_other_ends_and_blank_ones() -> None:
    one, two = (json.dumps(line("demo", each, SUM)).encode() for each in ("1.0.0", "2.0.0"))
    reading = read(b"\n\r\n" + one + b"\r\n\n" + two)
    assert pages(reading) == one + b"\n" + two + b"\n"


@pytest.mark.parametrize(
    "odd",
    [
        {"name": "other"}, {"vers": "1/../2"}, {"vers": 7}, {"cksum": "xy" * 32}, {"cksum": SUM[:-1]}, {"cksum": None},
        {"name": "d\u00e9mo"}, {"name": "demo/x"}, {"yanked": "no"}, {"name": None},
    ],
    ids=str,
)  # fmt: skip
def test_lines_that_cannot_be_used_are_left_out(odd: dict[str, Any]) -> None:
    good = line("demo", "1.0.0", SUM)
    reading = read(text({**line("demo", "2.0.0", SUM), **odd}, good) + b"{not json\n[]\nnull\n")
    assert [entry.version for entry in reading.entries] == ["1.0.0"]


@pytest.mark.parametrize(
    "body",
    [b"<!DOCTYPE html>\n<title>Sign in</title>\n", b"null", b"[]\n", b"{}\n", text(line("other")), b"[" * 100_000,
     b"\xff\xfe", b'{"name":"demo","vers":"1.0.0","cksum":"' + b"a" * 63],
)  # fmt: skip
def test_what_is_no_index_file_of_the_crate(body: bytes) -> None:
    with pytest.raises(Malformed):
        read(body)


@pytest.mark.parametrize("body", [b"", b"\n", b" \n\r\n"])
def test_an_empty_file_is_none(body: bytes) -> None:
    """It would make a 404 of a crate that is there: upstreams remove the file with its last version."""
    with pytest.raises(Malformed):
        read(body)


def test_only_the_version_that_is_wanted() -> None:
    body = text(*(line("Demo", f"{at}.0.0+b", SUM) for at in range(1, 6)))
    assert [each.version for each in read(body, file=keys.crate("DEMO", "3.0.0+b")).entries] == ["3.0.0+b"]
    for version in ("3.0.0", "9.9.9"):
        assert not list(read(body, file=keys.crate("demo", version)).entries)


def test_compact_entries_tell_what_whole_ones_do() -> None:
    body = text(line("De_mo", "1.0.0", SUM), line("De_mo", "2.0.0-a+b", SUM, yanked=True))
    found = read(body, "de_mo").entries
    assert isinstance(found, Compact)
    whole = list(found)
    assert found.keys() == [entry.key for entry in whole]
    told = [(each.key, each.name, each.filename, each.version, FORMAT.fragment(each)) for each in whole]
    assert found.listed("text/plain") == told
    assert found == read(body, "de_mo").entries
    assert found != read(text(line("De_mo", "1.0.0", SUM)), "de_mo").entries
    assert found[1] == whole[1]
    assert found[:1] == whole[:1]


def test_53_what_is_yanked_upstream_changes_the_line_and_keeps_the_bytes() -> None:
    (before,) = read(text(line("demo", "1.0.0", SUM))).entries
    (after,) = read(text(line("demo", "1.0.0", SUM, yanked=True))).entries
    renewed = FORMAT.renew(replace(before, size=77), after)
    assert (renewed.size, renewed.digests) == (77, {"sha256": SUM})
    assert json.loads(renewed.data["line"])["yanked"] is True


def test_the_summary_counts_yanked_lines() -> None:
    told = [line("demo", "1.0.0", SUM), line("demo", "2.0.0", SUM, yanked=True), line("demo", "0.9.0", SUM)]
    summary = json.loads(read(text(*told)).properties["summary"])
    assert (summary["name"], summary["max_version"], summary["newest"]) == ("demo", "1.0.0", "0.9.0")


def test_a_long_file_weighs_more() -> None:
    short, long = (read(text(*(line("demo", f"1.0.{at}", SUM) for at in range(count)))) for count in (3, 300))
    assert short.weight < 5 < 50 < long.weight


def config(body: bytes, base: str = BASE) -> dict[str, str]:
    page = FORMAT.guide(base)
    assert page is not None
    return dict(FORMAT.read(page, Source(base, "application/json", body)).properties)


def test_a_config_tells_where_files_and_the_api_are() -> None:
    assert config(b'{"dl":"https://files.example/{crate}","api":"https://api.example/","auth-required":true}') == {
        "dl": "https://files.example/{crate}",
        "api": "https://api.example",
    }
    assert config(b'{"dl":"https://files.example","api":null,"more":[1]}') == {"dl": "https://files.example", "api": ""}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"dl":null}', b'{"dl":7}', b"<!DOCTYPE html>", b"\xff", b'["dl"]'])
def test_a_site_in_place_of_an_index_is_told_in_words(body: bytes) -> None:
    with pytest.raises(Malformed, match="is the address that of an index"):
        config(body)


DL = (
    ("https://f.example/dl", "https://f.example/dl/Leaf_One/1.1.0+meta/download"),
    ("https://f.example/dl/", "https://f.example/dl/Leaf_One/1.1.0+meta/download"),
    ("https://f.example/{crate}-{version}.crate", "https://f.example/Leaf_One-1.1.0+meta.crate"),
    ("https://f.example/{prefix}/{crate}/{version}", "https://f.example/Le/af/Leaf_One/1.1.0+meta"),
    ("https://f.example/{lowerprefix}/x", "https://f.example/le/af/x"),
    ("https://f.example/{sha256-checksum}", f"https://f.example/{SUM}"),
    ("https://f.example/{other}", "https://f.example/{other}/Leaf_One/1.1.0+meta/download"),
    ("file:///etc/{crate}", None),
    ("ftp://f.example/", None),
    ("", None),
)


@pytest.mark.parametrize(("dl", "wanted"), DL)
def test_3_every_marker_of_dl_is_filled(dl: str, wanted: str | None) -> None:
    (entry,) = read(text(line("Leaf_One", "1.1.0+meta", SUM)), "leaf_one").entries
    assert FORMAT.direct(entry, {"dl": dl}) == wanted
    assert FORMAT.direct(entry, {}) is None


def test_66_pages_are_had_from_the_index_and_the_api_is_asked_questions_only() -> None:
    assert FORMAT.locate(keys.page("Leaf_One"), BASE) == f"{BASE}le/af/leaf_one"
    assert FORMAT.locate(keys.config(BASE), BASE) == f"{BASE}config.json"
    assert FORMAT.locate(keys.config(BASE), "http://other.example/") is None
    assert FORMAT.locate(keys.crate("demo", "1.0.0"), BASE) is None
    assert FORMAT.locate(keys.readme("demo", "1.0.0"), BASE) is None
    asked = FORMAT.question("api/v1/crates?q=x", BASE, {"api": "https://api.example"})
    assert asked == "https://api.example/api/v1/crates?q=x"
    for api in ({}, {"api": ""}, {"api": "ftp://api.example"}):
        assert FORMAT.question("api/v1/crates?q=x", BASE, api) is None


def test_17_49_a_page_is_its_lines_one_after_the_other() -> None:
    rows = [
        Listed("", each, index.rendered(json.dumps(line("demo", each, SUM)).encode())) for each in ("2.0.0", "1.0.0")
    ]
    made = index.assemble(keys.page("demo"), Listing(files=rows))
    assert made.body == b"".join(row.fragment for row in rows)
    assert made.body.count(b"\n") == 2
    with pytest.raises(NotHere):
        index.assemble(keys.page("demo"), Listing())
    sidecar = Entry("k", "demo", "1.0.0", "f", "demo", listed=False)
    assert FORMAT.fragment(sidecar) == b""
