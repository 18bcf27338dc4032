from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

from reliquary.errors import Malformed
from reliquary.formats.base import PageKey, Reading, Source
from reliquary.formats.pypi import FORMAT
from reliquary.formats.pypi.names import normal_version, normalise, version_in

PAGE = PageKey("simple/demo/", "demo", "demo")
ROOT = PageKey("simple/", "", children="")
URL = "https://index.example/simple/demo/"
SHA = "a" * 64
JSON = "application/vnd.pypi.simple.v1+json"


def html(body: str, url: str = URL, kind: str = "text/html", key: PageKey = PAGE) -> Reading:
    return FORMAT.read(key, Source(url, kind, body.encode()))


def from_json(*files: Any, kind: str = JSON, document: Mapping[str, Any] | None = None) -> Reading:
    return FORMAT.read(PAGE, Source(URL, kind, json.dumps({"files": files, **(document or {})}).encode()))


def urls(reading: Reading) -> list[str | None]:
    return [entry.url for entry in reading.entries]


def test_a_full_json_file() -> None:
    reading = from_json(
        {
            "filename": "demo-1.0.0-py3-none-any.whl",
            "url": "https://files.example/ab/demo-1.0.0-py3-none-any.whl",
            "hashes": {"SHA256": SHA.upper(), "odd": "zz"},
            "size": 5,
            "upload-time": "2026-01-02T03:04:05.123456Z",
            "requires-python": ">=3.*",
            "yanked": "broken",
            "core-metadata": {"sha256": "b" * 64},
            "provenance": "https://index.example/integrity/x",
            "new-key": [1],
        },
        document={
            "meta": {"api-version": "1.9", "_last-serial": 12},
            "project-status": {"status": "deprecated", "reason": "use other"},
        },
    )
    entry, sidecar = reading.entries
    assert entry.key == f"files/demo/{SHA}/demo-1.0.0-py3-none-any.whl"
    assert (entry.version, entry.size, entry.digests) == ("1.0.0", 5, {"sha256": SHA})
    assert entry.published == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert entry.data == {
        "requires_python": ">=3.*",
        "yanked": "broken",
        "core_metadata": {"sha256": "b" * 64},
        "provenance": "https://index.example/integrity/x",
    }
    assert sidecar.url == "https://files.example/ab/demo-1.0.0-py3-none-any.whl.metadata"
    assert (sidecar.listed, sidecar.digests) == (False, {"sha256": "b" * 64})
    assert reading.properties == {"status": "deprecated", "status-reason": "use other"}


def test_json_of_careless_servers() -> None:
    reading = from_json(
        {
            "filename": "demo-1.zip",
            "url": "demo-1.zip",
            "hashes": {},
            "size": None,
            "yanked": None,
            "upload-time": None,
        },
        {
            "filename": "demo-2.zip",
            "url": "demo-2.zip",
            "size": "x",
            "yanked": "",
            "requires-python": 3,
            "hashes": None,
        },
        {"filename": "demo-3.zip", "url": "demo-3.zip", "size": True, "upload-time": "soon", "core-metadata": True},
        {"filename": "other-3.zip", "url": "other-3.zip"},
        {"filename": "../demo-4.zip", "url": "https://x.example/%2e%2e%2fdemo-4.zip"},
        {"filename": None, "url": None},
        {"filename": "demo-5.zip", "url": "javascript:alert(1)//demo-5.zip"},
        {},
    )
    assert [entry.filename for entry in reading.entries] == ["demo-1.zip", "demo-2.zip", "demo-3.zip"]
    assert all(entry.size is None and entry.published is None and entry.data == {} for entry in reading.entries)
    assert len({entry.key for entry in reading.entries}) == 3
    assert all(entry.key.startswith("files/demo/u-") for entry in reading.entries)


@pytest.mark.parametrize("key", ["core-metadata", "dist-info-metadata", "data-dist-info-metadata"])
def test_three_spellings_of_one_key(key: str) -> None:
    entry, sidecar = from_json(
        {"filename": "demo-1-py3-none-any.whl", "url": "demo-1-py3-none-any.whl?x=1", key: {"sha256": SHA}}
    ).entries
    assert entry.data["core_metadata"] == {"sha256": SHA}
    assert sidecar.url == URL + "demo-1-py3-none-any.whl.metadata?x=1"


def test_metadata_without_a_digest_and_of_an_sdist() -> None:
    wheel, sdist = from_json(
        {"filename": "demo-1-py3-none-any.whl", "url": "demo-1-py3-none-any.whl", "core-metadata": True},
        {"filename": "demo-1.tar.gz", "url": "demo-1.tar.gz", "core-metadata": {"sha256": SHA}},
    ).entries
    assert (wheel.data, sdist.data) == ({"core_metadata": True}, {})


def test_content_types_lie() -> None:
    assert from_json({"filename": "demo-1.zip", "url": "x"}, kind="text/html").entries
    assert html('<a href="demo-1.zip">demo-1.zip</a>', kind=JSON).entries
    assert html('<a href="demo-1.zip">demo-1.zip</a>', kind="application/octet-stream").entries


def test_html_attributes() -> None:
    first, sidecar, second, third = html(
        f'<a href="/f/demo-1-py3-none-any.whl#sha256={SHA.upper()}&egg=demo" data-requires-python="&gt;=3.8,&lt;4"'
        f' data-yanked data-core-metadata="sha256={SHA}" data-upload-time="2026-01-02T03:04:05Z" data-size="12">x</a>'
        f'<a href="https://f.example/demo-1.tar.gz#md5={"b" * 32}" data-yanked="it&#39;s bad"'
        ' data-core-metadata="true">x</a>'
        '<a href="demo-2-py3-none-any.whl" data-dist-info-metadata="true" data-yanked="">x</a>'
        "<!--SERIAL 55-->"
    ).entries
    assert first.url == "https://index.example/f/demo-1-py3-none-any.whl"
    assert (first.digests, first.size) == ({"sha256": SHA}, 12)
    assert first.data == {"requires_python": ">=3.8,<4", "yanked": True, "core_metadata": {"sha256": SHA}}
    assert first.published == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert sidecar.key == first.key + ".metadata"
    assert (second.digests, second.data) == ({"md5": "b" * 32}, {"yanked": "it's bad"})
    assert third.data == {"yanked": True, "core_metadata": True}


def test_relative_links_and_a_base() -> None:
    page = "https://index.example/api/main/simple/demo/"
    assert urls(html('<a href="../../packages/x/demo-1.zip">demo-1.zip</a>', page)) == [
        "https://index.example/api/main/packages/x/demo-1.zip"
    ]
    body = '<head><base href="https://files.example/d/"></head><a href="demo-1.zip">demo-1.zip</a>'
    assert urls(html(body)) == ["https://files.example/d/demo-1.zip"]
    body = '<h1>Links for demo</h1><a href="/whl/cu1/demo-1.0%2Bcu1-py3-none-any.whl">demo</a>'
    (entry,) = html(body, "https://index.example/whl/cu1/demo/").entries
    assert (entry.filename, entry.version) == ("demo-1.0+cu1-py3-none-any.whl", "1.0+cu1")
    assert entry.url == "https://index.example/whl/cu1/demo-1.0%2Bcu1-py3-none-any.whl"


def test_the_text_names_a_file_whose_address_does_not() -> None:
    (entry,) = html('<a href="get?id=5#sha256=' + SHA + '">demo-1.zip</a>').entries
    assert (entry.filename, entry.url) == ("demo-1.zip", URL + "get?id=5")


def test_links_that_are_no_artefacts() -> None:
    reading = html(
        '<h1>Index of /demo</h1><a href="../">Parent</a><a href="demo-1.tar.gz.asc">s</a>'
        '<a href="mailto:x@y.example">m</a>'
        '<a href="http://[bad/demo-1.zip">b</a><a>n</a><a href="demo-1.zip">a</a><a href="demo-1.zip#again">a</a>'
    )
    assert urls(reading) == [URL + "demo-1.zip"]


def test_changed_bytes_get_another_address() -> None:
    keys = {html(f'<a href="demo-1.zip#sha256={digit * 64}">x</a>').entries[0].key for digit in "abc"}
    assert len(keys) == 3


def test_status_and_serial_of_html() -> None:
    source = Source(
        URL,
        "text/html",
        b'<meta name="pypi:repository-version" content="1.4"><meta name="pypi:project-status" content="archived">'
        b'<meta name="pypi:project-status-reason" content="done">',
        {"x-pypi-last-serial": "9"},
    )
    assert FORMAT.read(PAGE, source) == Reading([], (), {"status": "archived", "status-reason": "done"})


@pytest.mark.parametrize(
    "body",
    [
        "<html><title>Links for demo</title></html>",
        "<h1>Links for demo</h1>",
        '<meta name="pypi:repository-version" content="1.0">',
        "<title>Simple Index</title>",
    ],
)
def test_an_empty_page_is_a_page(body: str) -> None:
    assert html(body).entries == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "<html><title>Sign in</title><a href='/login'>Login</a></html>",
        "<html><a href='https://portal.example/setup.exe'>Download our agent</a></html>",
        "\x00\x01",
        "{",
        '{"message": "not an index"}',
        '{"files": null}',
        '{"files": [1]}',
        '{"files": [{"filename": "demo-\\ud800.zip", "url": "x"}]}',
        "[]",
        '{"a":' * 50_000,
    ],
)
@pytest.mark.parametrize("key", [PAGE, ROOT])
def test_what_is_no_index(body: str, key: PageKey) -> None:
    for kind in ("text/html", JSON):
        with pytest.raises(Malformed):
            html(body, kind=kind, key=key)


def test_lists_of_names() -> None:
    listed = '{"meta":{},"projects":[{"name":"Foo.Bar"},{"name":"a"},{"name":null},{"name":"-"},{}]}'
    assert html(listed, kind=JSON, key=ROOT).names == ["a", "foo-bar"]
    root = "https://index.example/simple/"
    marked = (
        '<title>Simple index</title><a href="/simple/Foo/">Foo</a><a href="b">B</a><a href="https://x.example/">x</a>'
    )
    assert html(marked, root, key=ROOT).names == ["b", "foo"]
    elsewhere = '<title>Simple index</title><a href="https://other.example/d/foo/">foo</a>'
    assert html(elsewhere, root, key=ROOT).names == ["foo"]
    bare = '<a href="/whl/cu1/torch/">torch</a><br/><a href="../">Up</a><a href="numpy/">numpy</a>'
    assert html(bare, "https://index.example/whl/cu1/", key=ROOT).names == ["numpy", "torch"]
    with pytest.raises(Malformed):
        html('<a href="login/">Login</a><a href="/help">Help</a>', root, key=ROOT)


@pytest.mark.parametrize(
    ("filename", "project", "version"),
    [
        ("demo-1.0-py3-none-any.whl", "demo", "1.0"),
        ("Foo.Bar-1.0-py3-none-any.whl", "foo-bar", "1.0"),
        ("foo-bar-1.0.tar.gz", "foo-bar", "1.0"),
        ("foo-bar-1.0.tar.gz", "foo", "bar-1.0"),
        ("foo-bar-1.0-beta.tar.bz2", "foo-bar", "1.0b0"),
        ("demo-2004d.zip", "demo", "2004d"),
        ("demo-1.0.win-amd64-py3.3.exe", "demo", "1.0"),
        ("demo-1.0.win32.exe", "demo", "1.0"),
        ("demo-1.0.linux-x86_64.tar.gz", "demo", "1.0"),
        ("demo-1.0-1.noarch.rpm", "demo", "1.0"),
        ("demo-1.0-py2.7.egg", "demo", "1.0"),
        ("demo.zip", "demo", None),
        ("demo-1.0.zip", "other", None),
    ],
)
def test_versions_in_file_names(filename: str, project: str, version: str | None) -> None:
    assert version_in(filename, project) == version


@given(st.binary(max_size=300), st.sampled_from(["text/html", JSON, ""]), st.sampled_from([PAGE, ROOT]))
def test_any_bytes_are_read_or_refused(body: bytes, kind: str, key: PageKey) -> None:
    for text in (
        body,
        b"<title>Links for demo</title>" + body,
        b'{"files":[' + body,
        b'{"meta":' + body + b',"files":[]}',
    ):
        with contextlib.suppress(Malformed):
            FORMAT.read(key, Source(URL, kind, text))


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_attribute_is_kept_or_dropped(href: str, reason: str, python: str) -> None:
    file = {"filename": f"demo-{href}.zip", "url": "x" + href, "yanked": reason, "requires-python": python}
    for entry in from_json(file, file).entries:
        row, line = FORMAT.fragment(entry).split(b"\n")
        assert json.loads(row)["yanked"] == (reason or False)
        assert line.startswith(b"    <a href=")


@given(
    st.text("0123456789.+!-_abcrpostdev v", max_size=12) | st.from_regex(r"[0-9.]+(a|b|rc|\.post|\.dev|\+cu)?[0-9]*")
)
def test_a_version_is_normal_as_the_standard_says(text: str) -> None:
    try:
        assert normal_version(text) == str(Version(text))
    except InvalidVersion:
        assert normal_version(text) == text


@pytest.mark.parametrize("name", ["foo-bar", "Foo.Bar", "foo__bar", "foo_bar", "foo-", "foo", "foo-baz"])
def test_a_file_is_of_the_project_whose_normal_name_it_has(name: str) -> None:
    of_the_project = "1.0" if normalise(name) == "foo-bar" else None
    for rest in ("-1.0.zip", "-1.0.tar.gz"):
        assert version_in(name + rest, "foo-bar") == of_the_project
    assert version_in(name.replace("-", "_") + "-1.0-py3-none-any.whl", "foo-bar") == of_the_project


def test_json_cannot_say_what_only_html_has() -> None:
    reading = from_json({"url": "get?id=5", "text": "demo-1.zip", "href": "demo-1.zip"})
    assert reading.entries == []


def test_reading_grows_with_the_files_and_not_with_their_square() -> None:
    anchor = (
        '<a href="https://files.example/ab/demo-1.{0}-py3-none-any.whl#sha256={1}" data-requires-python="&gt;=3.8"'
        ' data-upload-time="2026-01-02T03:04:05.000001Z">demo-1.{0}-py3-none-any.whl</a><br/>\n'
    )
    body = "<h1>Links for demo</h1>\n" + "".join(anchor.format(number, SHA) for number in range(10_000))
    file = {
        "url": f"https://files.example/{SHA}/demo-1.0-py3-none-any.whl",
        "hashes": {"sha256": SHA},
        "core-metadata": {"sha256": SHA},
        "size": 5,
    }
    document = json.dumps({"files": [{**file, "filename": f"demo-1.{at}-py3-none-any.whl"} for at in range(10_000)]})
    for text, kind, count in ((body, "text/html", 10_000), (document, JSON, 20_000)):
        start = time.process_time()
        assert len(html(text, kind=kind).entries) == count
        assert time.process_time() - start < 5


@given(st.text(max_size=30))
def test_versions_never_fail(text: str) -> None:
    normal_version(text)
    for suffix in (".whl", ".tar.gz", ".rpm", ".exe"):
        version_in(f"demo-{text}{suffix}", "demo")
