from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from reliquary.formats.base import Listed, Listing, PageKey, Pen, Source
from reliquary.formats.pypi import FORMAT
from reliquary.formats.pypi.negotiate import HTML, HTML_V1, JSON_V1
from reliquary.types import Entry

PEN = Pen(datetime(2026, 11, 20, tzinfo=UTC), "pypi/main")
PAGE = PageKey("simple/demo/", "demo", "demo")
ROOT = PageKey("simple/", "", children="")
SHA = "a" * 64


def entry(filename: str = "demo-1.0-py3-none-any.whl", version: str = "1.0", **changes: Any) -> Entry:
    values: dict[str, Any] = {
        "key": f"files/demo/{SHA}/{filename}",
        "name": "demo",
        "version": version,
        "filename": filename,
        "scope": "demo",
        "digests": {"sha256": SHA, "md5": "b" * 32},
        "size": 10,
        "published": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    }
    return Entry(**{**values, **changes})


def listing(entries: Sequence[Entry], **changes: Any) -> Listing:
    files = [Listed(one.filename, one.version, FORMAT.fragment(one)) for one in entries]
    return Listing(files=files, serial=7, **changes)


def as_json(entries: Sequence[Entry], **changes: Any) -> Any:
    (page,) = FORMAT.assemble([PAGE], listing(entries, **changes), PEN, JSON_V1)
    return json.loads(page.body)


def as_html(entries: Sequence[Entry], **changes: Any) -> bytes:
    (page,) = FORMAT.assemble([PAGE], listing(entries, **changes), PEN, HTML)
    return page.body


def anchors(body: bytes) -> list[tuple[dict[str, str | None], str]]:
    return [(dict(node.attributes), node.text()) for node in LexborHTMLParser(body).css("a")]


def test_the_json_page() -> None:
    sha256 = "c" * 64
    page = as_json([entry(data={"requires_python": ">=3.8", "core_metadata": {"sha256": sha256}})])
    assert page == {
        "meta": {"api-version": "1.4", "_last-serial": 7},
        "name": "demo",
        "project-status": {"status": "active"},
        "versions": ["1.0"],
        "files": [
            {
                "filename": "demo-1.0-py3-none-any.whl",
                "url": f"../../files/demo/{SHA}/demo-1.0-py3-none-any.whl",
                "hashes": {"sha256": SHA},
                "size": 10,
                "upload-time": "2026-01-02T03:04:05Z",
                "requires-python": ">=3.8",
                "yanked": False,
                "core-metadata": {"sha256": sha256},
                "dist-info-metadata": {"sha256": sha256},
            }
        ],
    }


def test_the_html_page_byte_for_byte() -> None:
    data = {"requires_python": ">=3.8,<4", "core_metadata": {"sha256": SHA}, "yanked": True}
    assert as_html([entry(data=data)]).decode() == (
        "<!DOCTYPE html>\n<html>\n  <head>\n"
        '    <meta name="pypi:repository-version" content="1.4">\n'
        "    <title>Links for demo</title>\n  </head>\n  <body>\n    <h1>Links for demo</h1>\n"
        f'    <a href="../../files/demo/{SHA}/demo-1.0-py3-none-any.whl#sha256={SHA}"'
        ' data-requires-python="&gt;=3.8,&lt;4" data-yanked=""'
        f' data-dist-info-metadata="sha256={SHA}" data-core-metadata="sha256={SHA}"'
        ' data-upload-time="2026-01-02T03:04:05Z" data-size="10">demo-1.0-py3-none-any.whl</a><br />\n'
        "  </body>\n</html>\n<!--SERIAL 7-->"
    )


def test_every_type_and_the_serial_header() -> None:
    pages = {page.media: page for page in FORMAT.assemble([PAGE], listing([entry()]), PEN)}
    assert set(pages) == {HTML, JSON_V1, HTML_V1}
    assert pages[HTML].body == pages[HTML_V1].body
    assert all(page.headers == (("x-pypi-last-serial", "7"),) for page in pages.values())
    assert all(page.path == "simple/demo/" for page in pages.values())


@pytest.mark.parametrize(
    ("stored", "in_json", "in_html"),
    [
        (True, True, ""),
        ("", True, ""),
        ("bad wheel", "bad wheel", "bad wheel"),
        ('"quoted" <b>&\nnext\r é', '"quoted" <b>&\nnext\r é', '"quoted" <b>&\nnext\r é'),
    ],
)
def test_a_yank_and_its_reason(stored: object, in_json: object, in_html: str) -> None:
    yanked = entry(data={"yanked": stored})
    assert as_json([yanked])["files"][0]["yanked"] == in_json
    ((attributes, _),) = anchors(as_html([yanked]))
    assert attributes["data-yanked"] == in_html
    assert b"data-yanked=" in as_html([yanked])
    assert FORMAT.fragment(yanked).count(b"\n") == 1


def test_no_yank_no_attribute() -> None:
    assert b"data-yanked" not in as_html([entry(data={"yanked": False})])


def test_nothing_unknown_is_null() -> None:
    (file,) = as_json([entry(size=None, published=None, digests={})])["files"]
    assert {"size", "upload-time", "provenance"}.isdisjoint(file)
    assert (file["hashes"], file["yanked"], file["core-metadata"]) == ({}, False, False)


@pytest.mark.parametrize(("micro", "text"), [(0, "03:04:05Z"), (120, "03:04:05.000120Z"), (123456, "03:04:05.123456Z")])
def test_upload_times(micro: int, text: str) -> None:
    (file,) = as_json([entry(published=datetime(2026, 1, 2, 3, 4, 5, micro, tzinfo=UTC))])["files"]
    assert file["upload-time"] == "2026-01-02T" + text


@pytest.mark.parametrize("hours", [-5, 0, 3])
def test_upload_times_of_other_zones(hours: int) -> None:
    moment = datetime(2026, 1, 2, 12, 30, tzinfo=timezone(timedelta(hours=hours)))
    (file,) = as_json([entry(published=moment)])["files"]
    ((attributes, _),) = anchors(as_html([entry(published=moment)]))
    assert file["upload-time"] == attributes["data-upload-time"] == f"2026-01-02T{12 - hours:02}:30:00Z"


def test_versions_are_the_files_own_once_each() -> None:
    files = [entry("demo-1.0.tar.gz"), entry(), entry("demo-x.zip", "x-legacy"), entry("demo-2.tar.gz", "2")]
    assert as_json(files)["versions"] == ["1.0", "x-legacy", "2"]


def test_one_unknown_size_lowers_the_version() -> None:
    page = as_json([entry(), entry("demo-2.zip", "2", size=None, data={"yanked": '"size":1'})])
    assert page["meta"]["api-version"] == "1.0"
    assert "versions" not in page
    assert [file.get("size") for file in page["files"]] == [10, None]
    assert b'content="1.4"' in as_html([entry(size=None)])


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("demo-1.0+cu1-py3-none-any.whl", "demo-1.0%2Bcu1-py3-none-any.whl"),
        ("Demo-1!1.0.tar.gz", "Demo-1%211.0.tar.gz"),
        ("demo-1 beta.exe", "demo-1%20beta.exe"),
        ("demo-1#\u00e9?.zip", "demo-1%23%C3%A9%3F.zip"),
    ],
)
def test_addresses_of_odd_names(name: str, segment: str) -> None:
    body = as_html([entry(name)])
    ((attributes, text),) = anchors(body)
    url = f"../../files/demo/{SHA}/{segment}"
    assert (text, attributes["href"]) == (name, f"{url}#sha256={SHA}")
    assert as_json([entry(name)])["files"][0]["url"] == url
    reading = FORMAT.read(PAGE, Source("http://other.example/pypi/main/simple/demo/", "text/html", body))
    assert [(one.filename, one.key) for one in reading.entries] == [(name, entry(name).key)]


def test_project_status() -> None:
    page = as_json([entry()], properties={"status": "archived", "status-reason": "<done>"})
    assert page["project-status"] == {"status": "archived", "reason": "<done>"}
    assert len(page["files"]) == 1
    html = as_html([entry()], properties={"status": "archived", "status-reason": "<done>"})
    assert b'<meta name="pypi:project-status" content="archived">' in html
    assert b'<meta name="pypi:project-status-reason" content="&lt;done&gt;">' in html


def test_quarantine_offers_nothing() -> None:
    page = as_json([entry()], properties={"status": "quarantined"})
    assert (page["files"], page["versions"]) == ([], [])
    assert b"<a " not in as_html([entry()], properties={"status": "quarantined"})


@pytest.mark.parametrize("link", [None, "http://index.example/x", "//index.example/x", "javascript:x", "https:///x", 3])
def test_provenance_is_absolute_https_or_absent(link: object) -> None:
    assert b"provenance" not in FORMAT.fragment(entry(data={"provenance": link}))
    good = FORMAT.fragment(entry(data={"provenance": "https://index.example/integrity/x"}))
    assert good.count(b'provenance":"https://') == good.count(b'data-provenance="https://') == 1


@pytest.mark.parametrize("media", [None, JSON_V1, HTML, HTML_V1])
def test_a_sidecar_has_no_fragment(media: str | None) -> None:
    assert FORMAT.fragment(entry(listed=False), media) == b""


@pytest.mark.parametrize("media", [JSON_V1, HTML, HTML_V1])
@pytest.mark.parametrize("size", [5, None])
def test_a_page_needs_no_more_of_a_file_than_its_own_type(media: str, size: int | None) -> None:
    files = [entry(), entry("demo-2}.zip", "2", size=size, data={"yanked": "a\nb", "core_metadata": True})]
    whole = listing(files)
    parts = Listing([Listed(one.filename, one.version, FORMAT.fragment(one, media)) for one in files], serial=7)
    assert FORMAT.assemble([PAGE], parts, PEN, media) == FORMAT.assemble([PAGE], whole, PEN, media)
    assert all(
        len(part.fragment) < len(all_of_it.fragment) for part, all_of_it in zip(parts.files, whole.files, strict=True)
    )


def test_the_list() -> None:
    held = Listing(names=[("a", 1), ("b-c", 9)], serial=9)
    pages = {page.media: page.body for page in FORMAT.assemble([ROOT], held, PEN)}
    assert json.loads(pages[JSON_V1]) == {
        "meta": {"api-version": "1.4", "_last-serial": 9},
        "projects": [{"name": "a", "_last-serial": 1}, {"name": "b-c", "_last-serial": 9}],
    }
    assert [(given["href"], text) for given, text in anchors(pages[HTML])] == [("a/", "a"), ("b-c/", "b-c")]
    assert pages[HTML].endswith(b"<!--SERIAL 9-->")


def test_an_odd_name_in_the_list_is_escaped() -> None:
    pages = {page.media: page.body for page in FORMAT.assemble([ROOT], Listing(names=[('a"<b>', 1)]), PEN)}
    assert json.loads(pages[JSON_V1])["projects"] == [{"name": 'a"<b>', "_last-serial": 1}]
    assert b"<b>" not in pages[HTML]


def test_a_list_of_700_000_names_takes_under_a_second() -> None:
    held = Listing(names=[(f"package-{number:06d}", number) for number in range(700_000)], serial=1)
    for media in (JSON_V1, HTML):
        start = time.process_time()
        (page,) = FORMAT.assemble([ROOT], held, PEN, media)
        assert time.process_time() - start < 1
        assert page.body.count(b"package-699999") >= 1


def test_a_page_of_4_000_files_is_joined_not_rendered() -> None:
    held = listing([entry(f"demo-1.{number}-py3-none-any.whl", f"1.{number}") for number in range(4_000)])
    start = time.process_time()
    pages = FORMAT.assemble([PAGE], held, PEN)
    assert time.process_time() - start < 0.25
    assert len(json.loads(pages[0].body)["files"]) == 4_000


def test_our_own_pages_can_be_read_back() -> None:
    data = {"requires_python": ">=3.8", "core_metadata": {"sha256": "c" * 64}, "yanked": "old"}
    given = entry(data=data, digests={"sha256": SHA})
    for page in FORMAT.assemble([PAGE], listing([given]), PEN):
        source = Source("http://other.example/pypi/main/simple/demo/", page.media, page.body)
        reading = FORMAT.read(PAGE, source)
        first, sidecar = reading.entries
        assert (first.key, first.size, first.published, first.data) == (given.key, 10, given.published, data)
        assert first.url == f"http://other.example/pypi/main/{given.key}"
        assert (sidecar.key, sidecar.listed, sidecar.digests) == (given.key + ".metadata", False, {"sha256": "c" * 64})
        assert sidecar.url == f"{first.url}.metadata"
        assert reading.properties == {}
