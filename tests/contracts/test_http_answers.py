"""Files and pages over HTTP: methods, validators, ranges, codings, for every format and kind."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from backports import zstd

from tests.contracts.requests import (
    CODINGS,
    CONDITIONS,
    FIRST,
    FORMATS,
    OTHER,
    RANGES,
    Case,
    Place,
    nothing_inside,
    place,
    places,
    steady,
    town,
)
from tests.running import Answer, Running

PLACES = [pytest.param(each, id=f"{each.format}-{each.kind}") for each in places()]
VARY = {format: "Accept, Accept-Encoding" if format in OTHER else "Accept-Encoding" for format in FORMATS}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with town(tmp_path_factory.mktemp("town")) as (running, _):
        for each in places():
            assert running.ask(each.file).body == each.body
            assert running.ask(each.page).status == 200
        time.sleep(1.1)  # within the second of a change no date is a validator
        yield running


def _error(answer: Answer, method: str = "GET") -> None:
    assert answer.header("cache-control") == "no-store"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("content-type")
    assert nothing_inside(answer)
    assert bool(answer.body) == (method != "HEAD")


@pytest.mark.parametrize("where", PLACES)
def test_head_is_get_without_the_body(server: Running, where: Place) -> None:
    for path in (where.file, where.page, where.missing_file, where.missing_page, where.root + "%00"):
        assert path is not None
        got, head = server.ask(path), server.ask(path, method="HEAD")
        assert head.body == b""
        assert (head.status, head.reason) == (got.status, got.reason)
        assert steady(head) == steady(got)
        assert got.header("content-length") == str(len(got.body))


@pytest.mark.parametrize("where", PLACES)
def test_conditions(server: Running, where: Place) -> None:
    for path in (where.file, where.page):
        plain = server.ask(path)
        for case in CONDITIONS:
            answer = server.ask(path, method=case.method, headers=case.fitted(plain))
            assert answer.status == case.status, (path, case.name)
            _check_condition(answer, plain, case)


def _check_condition(answer: Answer, plain: Answer, case: Case) -> None:
    if case.status == 412:
        _error(answer, case.method)
        return
    for name in ("etag", "vary", "cache-control", "last-modified"):
        assert answer.header(name) == plain.header(name), (case.name, name)
    if case.status == 304:
        assert answer.body == b""
        assert answer.header("content-length") in (None, plain.header("content-length"))
    else:
        assert answer.body == (b"" if case.method == "HEAD" else plain.body), case.name


@pytest.mark.parametrize("where", PLACES)
def test_ranges_of_files(server: Running, where: Place) -> None:
    plain = server.ask(where.file)
    size = len(where.body)
    for case in RANGES:
        answer = server.ask(where.file, method=case.method, headers=case.fitted(plain))
        assert answer.status == case.status, case.name
        if case.status == 206:
            assert case.part is not None
            start, stop, _ = case.part.indices(size)
            assert answer.body == where.body[case.part], case.name
            assert answer.header("content-range") == f"bytes {start}-{stop - 1}/{size}"
            assert answer.header("content-length") == str(stop - start)
            assert answer.header("etag") == plain.header("etag")
        elif case.status == 416:
            assert answer.header("content-range") == f"bytes */{size}"
            _error(answer)
        else:
            assert answer.header("content-range") is None
            assert answer.body == (b"" if case.method == "HEAD" or case.status == 304 else where.body)
        if case.status in (200, 206):
            assert answer.header("accept-ranges") == "bytes"


@pytest.mark.parametrize("where", PLACES)
def test_pages_are_always_whole(server: Running, where: Place) -> None:
    plain = server.ask(where.page)
    assert plain.header("accept-ranges") is None
    for case in RANGES:
        if case.status != 304:
            answer = server.ask(where.page, method=case.method, headers=case.fitted(plain))
            assert (answer.status, answer.header("content-range")) == (200, None), case.name


@pytest.mark.parametrize("where", PLACES)
def test_pages_come_in_the_coding_that_is_asked_for(server: Running, where: Place) -> None:
    plain = server.ask(where.page)
    assert len(plain.body) > 1024
    unpack: dict[str, Callable[[bytes], bytes]] = {"identity": bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}
    etags: dict[str, str | None] = {}
    for asked, coding in CODINGS:
        answer = server.ask(where.page, headers={"Accept-Encoding": asked})
        assert answer.status == 200
        assert (answer.header("content-encoding") or "identity") == coding, asked[:50]
        assert unpack[coding](answer.body) == plain.body
        assert answer.header("vary") == VARY[where.format]
        assert etags.setdefault(coding, answer.header("etag")) == answer.header("etag")
    assert len(set(etags.values())) == 3
    crossed = server.ask(where.page, headers={"Accept-Encoding": "gzip", "If-None-Match": etags["zstd"] or ""})
    assert crossed.status == 200


@pytest.mark.parametrize("where", PLACES)
def test_a_small_page_is_sent_plain_unless_plain_is_refused(server: Running, where: Place) -> None:
    page = where.small_page
    assert server.ask(page, headers={"Accept-Encoding": "gzip"}).header("content-encoding") is None
    first = server.ask(page, headers={"Accept-Encoding": "gzip, identity;q=0"})
    again = server.ask(page, headers={"Accept-Encoding": "gzip, identity;q=0"})
    assert first.header("content-encoding") == again.header("content-encoding") == "gzip"
    assert first.header("etag") == again.header("etag")


@pytest.mark.parametrize("where", PLACES)
def test_files_are_never_coded_and_never_negotiated(server: Running, where: Place) -> None:
    assert where.body[:2] == b"\x1f\x8b" or where.file.endswith(".gz")
    plain = server.ask(where.file)
    for headers in (
        {"Accept-Encoding": "gzip, zstd"},
        {"Accept-Encoding": "identity;q=0, gzip"},
        {"Accept": "application/vnd.other+json"},
        {"Accept": "text/*"},
        {"Accept": "image/png;q=0, */*;q=0"},
        {"User-Agent": "Mozilla/5.0"},
    ):
        answer = server.ask(where.file, headers=headers)
        assert (answer.status, answer.body, steady(answer)) == (200, where.body, steady(plain))
    assert plain.header("content-encoding") is None
    assert plain.header("vary") is None
    assert plain.header("content-type") == (
        "application/gzip" if where.format == "cargo" else "application/octet-stream"
    )
    assert "sandbox" in (plain.header("content-security-policy") or "")


@pytest.mark.parametrize("where", PLACES)
def test_pages_are_negotiated_and_each_variant_has_its_etag(server: Running, where: Place) -> None:
    usual, wanted = FIRST[where.format], OTHER.get(where.format)
    first = server.ask(where.page)
    assert (first.header("content-type") or "").startswith(usual)
    if wanted is not None:
        other = server.ask(where.page, headers={"Accept": wanted})
        assert other.header("content-type") == wanted
        assert first.header("etag") != other.header("etag")
        assert first.body != other.body
        assert server.ask(where.page, headers={"Accept": wanted + ";q=0.5, */*;q=0.1"}).body == other.body
    for accept in ("", "*/*", usual.partition("/")[0] + "/*"):
        assert server.ask(where.page, headers={"Accept": accept}).body == first.body
    refused = server.ask(where.page, headers={"Accept": "image/png"})
    assert (refused.status, refused.header("vary")) == (406, VARY[where.format])
    _error(refused)
    assert server.ask(where.page, headers={"Accept": ",;=" + "text/x, " * 5000}).status == 406


@pytest.mark.parametrize("where", PLACES)
def test_cache_control_by_kind(server: Running, where: Place) -> None:
    page = server.ask(where.page).header("cache-control") or ""
    # Clients of cargo look at a page when they must know what is new.
    if where.kind == "proxy" and where.format != "cargo":
        age = int(page.removeprefix("max-age="))
        assert 0 < age <= 600
    else:
        assert page == "max-age=0, must-revalidate"
    file = server.ask(where.file).header("cache-control")
    if where.format != "generic":
        assert file == "public, max-age=31536000, immutable"
    elif where.kind == "proxy":
        assert file == "public, max-age=300"
    else:
        assert file == "public, max-age=0, must-revalidate"


@pytest.mark.parametrize("where", PLACES)
def test_what_is_missing_is_404_and_not_kept(server: Running, where: Place) -> None:
    for path in (where.missing_file, where.missing_page):
        assert path is not None
        for method in ("GET", "HEAD"):
            answer = server.ask(path, method=method)
            assert answer.status == 404
            _error(answer, method)
    assert server.ask(where.missing_page or "").header("vary") == VARY[where.format]


@pytest.mark.parametrize("where", PLACES)
def test_other_methods_are_405_with_those_that_work(server: Running, where: Place) -> None:
    for path in (where.file, where.page):
        for method in ("PATCH", "PROPFIND", "TRACE", "COPY"):
            answer = server.ask(path, method=method)
            assert answer.status == 405, method
            allow = (answer.header("allow") or "").split(", ")
            assert {"GET", "HEAD"} <= set(allow)
            assert method not in allow
            _error(answer)


@pytest.mark.parametrize("where", PLACES)
def test_options_answers_where_there_is_cors(server: Running, where: Place) -> None:
    answer = server.ask(where.page, method="OPTIONS", headers={"Origin": "https://site.example"})
    if where.format == "pypi":
        assert answer.status == 204
        assert answer.header("access-control-allow-origin") == "*"
        assert "GET" in (answer.header("allow") or "")
    else:
        assert answer.status == 405
        assert "GET" in (answer.header("allow") or "")


@pytest.mark.parametrize("where", PLACES)
def test_last_modified_is_never_in_the_future_and_never_changes(server: Running, where: Place) -> None:
    for path in (where.file, where.page):
        first, again = server.ask(path), server.ask(path)
        moment = parsedate_to_datetime(first.header("last-modified") or "")
        assert moment <= datetime.now(UTC)
        assert first.header("last-modified") == again.header("last-modified")


def test_two_changes_in_a_second_share_no_validator(server: Running) -> None:
    page = "/generic/local/quick/"
    for at in range(3):
        assert server.put(f"{page}{at}", b"x").status == 201
        seen = server.ask(page)
        assert parsedate_to_datetime(seen.header("last-modified") or "") < datetime.now(UTC).replace(microsecond=0)
        since = {"If-Modified-Since": seen.header("last-modified") or ""}
        assert server.put(f"{page}{at}b", b"x").status == 201
        assert server.ask(page, headers=since).status == 200


def test_404_turns_into_200_at_once(server: Running) -> None:
    for root in ("/generic/local/", "/generic/main/"):
        assert server.ask(f"{root}soon/{root[9:13]}").status == 404
        assert server.put(f"{root}soon/{root[9:13]}", b"x").status == 201
        assert server.ask(f"{root}soon/{root[9:13]}").body == b"x"
        assert server.ask(f"{root}soon/").status == 200


@pytest.mark.parametrize("format", FORMATS)
def test_a_closed_repository_is_private_to_caches(tmp_path_factory: pytest.TempPathFactory, format: str) -> None:
    closed = f'[[repositories]]\nformat = "{format}"\nname = "local"\nkind = "hosted"\nanonymous_read = false\n'
    with town(tmp_path_factory.mktemp("closed"), closed) as (running, _):
        where = place(format, "hosted")
        file, page = running.ask(where.file, token=running.token), running.ask(where.page, token=running.token)
        assert (file.header("cache-control") or "").startswith("private, max-age=")
        assert page.header("cache-control") == "private, max-age=0, must-revalidate"
        for path in (where.file, where.page, where.missing_file):
            answer = running.ask(path)
            assert (answer.status, answer.header("cache-control")) == (401, "no-store")
