"""Each fault of an upstream, met by a page: unknown pages, known pages, and what heals."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.playground import (
    FRESH,
    JSON,
    Played,
    get,
    get_healed,
    lay_crate,
    lay_npm,
    lay_wheel,
    listing,
    noise,
    settings,
    sha256,
    wheel_name,
)
from tests.running import Running, running
from tests.upstreams import Upstream, playing

FAULTS: dict[str, tuple[dict[str, Any], int]] = {
    "down": ({"down": True}, 503),
    "slow": ({"delay": 1.7}, 503),
    "cut": ({"cut": 40}, 503),
    "cut-chunks": ({"cut": 40, "chunked": True}, 503),
    "too-short": ({"lie": 100}, 503),
    "too-long": ({"lie": -10}, 503),
    "garbage": ({"raw": b"what?\r\n\r\n"}, 503),
    "empty": ({"raw": b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n"}, 503),
    "other-json": ({"raw": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"}, 503),
    "portal": ({"html": True}, 503),
    "bomb": ({"bomb": 30_000_000}, 503),
    "unknown-coding": ({"headers": {"content-encoding": "br"}}, 503),
    "no-gzip": ({"headers": {"content-encoding": "gzip"}}, 503),
    "401": ({"status": 401}, 503),
    "403": ({"status": 403}, 503),
    "404": ({"status": 404}, 404),
    "410": ({"status": 410}, 404),
    "429": ({"status": 429}, 503),
    "500": ({"status": 500}, 503),
    "304-unasked": ({"status": 304}, 503),
    "206-unasked": ({"status": 206}, 503),
    "redirect-to-metadata": ({"redirect": "http://169.254.169.254/simple/"}, 503),
    "redirect-to-file": ({"redirect": "file:///etc/passwd"}, 503),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("pages") / "var", config=settings(upstream, FRESH)) as server:
        yield server


@dataclass(frozen=True)
class Dialect:
    """Where a format has the page of a project: at the upstream and, below a repository, here."""

    format: str
    there: str
    here: str
    lay: Callable[[Upstream, str, bytes], Played]
    listed: Callable[[str, bytes], bool]
    vary: str = "Accept, Accept-Encoding"

    def path(self, repository: str, name: str) -> str:
        """Of a page here."""
        return f"/{self.format}/{repository}/{self.here.format(name, name[:2], name[2:4])}"

    def at_upstream(self, name: str) -> str:
        """Of a page there."""
        return self.there.format(name, name[:2], name[2:4])


DIALECTS = [
    Dialect("pypi", "/simple/{}/", "simple/{}/", lay_wheel, lambda name, body: names(body) == [wheel_name(name)]),
    Dialect("npm", "/registry/{}", "{}", lay_npm, lambda name, body: list(json.loads(body)["versions"]) == ["1.0.0"]),
    Dialect(
        "cargo",
        "/index/{1}/{2}/{0}",
        "{1}/{2}/{0}",
        lay_crate,
        lambda name, body: [json.loads(each)["vers"] for each in body.splitlines()] == ["1.0.0"],
        "Accept-Encoding",
    ),
]


def names(body: bytes) -> list[str]:
    """The file names on a page."""
    return [file["filename"] for file in json.loads(body)["files"]]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.format)
@pytest.mark.parametrize("fault", FAULTS)
def test_an_unknown_page_meets_a_fault(server: Running, upstream: Upstream, fault: str, dialect: Dialect) -> None:
    kinds, expected = FAULTS[fault]
    name = f"new-{fault}"
    dialect.lay(upstream, name, noise(100, fault))
    there = dialect.at_upstream(name)
    upstream.fault(there, **kinds)
    for repository in ("proxy", "all"):
        got = get(server, dialect.path(repository, name))
        assert got.status == expected
        assert got.headers["cache-control"] == "no-store"
        assert ("retry-after" in got.headers) == (expected == 503)
        assert got.headers["vary"] == dialect.vary
        assert upstream.host.encode() not in got.body
    upstream.heal(there)
    healed = get_healed(server, dialect.path("proxy", name))
    assert dialect.listed(name, healed.body)
    assert "warning" not in healed.headers


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.format)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_known_page_outlives_a_fault(server: Running, upstream: Upstream, fault: str, dialect: Dialect) -> None:
    kinds, expected = FAULTS[fault]
    name = f"old-{fault}"
    path, there = dialect.path("proxy", name), dialect.at_upstream(name)
    # Without validators, so that a 304 cannot be what was asked for.
    upstream.fault(there, no_validators=True)
    dialect.lay(upstream, name, noise(100, fault))
    good = get_healed(server, path)
    assert dialect.listed(name, good.body) and "warning" not in good.headers
    upstream.fault(there, **kinds)
    stale = get(server, path)
    if dialect.format == "cargo" and expected == 404:  # what is gone is gone there (cargo.md, part 5)
        assert stale.status == get(server, dialect.path("all", name)).status == 404
        return
    assert (stale.status, stale.body) == (200, good.body)
    assert stale.headers["etag"] == good.headers["etag"]
    assert stale.headers["warning"].startswith("110")
    assert get(server, dialect.path("all", name)).headers["warning"].startswith("110")


def test_a_stale_page_is_refreshed_once_the_upstream_is_back(upstream: Upstream, tmp_path: Any) -> None:
    lay_wheel(upstream, "back", noise(100, "back"))
    path = "/pypi/proxy/simple/back/"
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        assert get(server, path).status == 200
    upstream.stop()
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        assert get(server, path).headers["warning"].startswith("110")
    upstream.resume()
    more = noise(100, "more")
    row = {"filename": wheel_name("back", "2.0"), "url": "../../packages/back2", "hashes": {"sha256": sha256(more)}}
    upstream.put("/simple/back/", listing("back", [row | {"size": 100}]), content_type=JSON)
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        got = get(server, path)
        assert names(got.body) == [wheel_name("back", "2.0")]
        assert "warning" not in got.headers


def test_unchanged_pages_are_asked_for_conditionally(server: Running, upstream: Upstream) -> None:
    lay_wheel(upstream, "same", noise(100, "same"))
    first = get_healed(server, "/pypi/proxy/simple/same/")
    upstream.forget()
    again = get(server, "/pypi/proxy/simple/same/", {"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    (asked,) = [request for request in upstream.requests if request.path == "/simple/same/"]
    assert asked.headers["if-none-match"]


def test_a_wrong_validator_is_seen_through(server: Running, upstream: Upstream) -> None:
    """Without validators the page is fetched whole, and its bytes say whether it changed."""
    name = "unsaid"
    upstream.fault(f"/simple/{name}/", no_validators=True)
    lay_wheel(upstream, name, noise(100, name))
    first = get_healed(server, f"/pypi/proxy/simple/{name}/")
    again = get(server, f"/pypi/proxy/simple/{name}/")
    assert (again.headers["etag"], again.headers["last-modified"]) == (
        first.headers["etag"],
        first.headers["last-modified"],
    )
    lay_wheel(upstream, name, noise(100, "other"))
    assert get(server, f"/pypi/proxy/simple/{name}/").headers["etag"] != first.headers["etag"]


def test_an_index_that_shrinks_keeps_what_is_here(server: Running, upstream: Upstream) -> None:
    kept = lay_wheel(upstream, "shrinks", noise(100, "kept"))
    gone = {"filename": wheel_name("shrinks", "2.0"), "url": "x.whl", "hashes": {"sha256": "a" * 64}, "size": 1}
    row = {"filename": wheel_name("shrinks"), "url": f"../..{kept.there}", "hashes": {"sha256": sha256(kept.data)}}
    upstream.put("/simple/shrinks/", listing("shrinks", [row | {"size": 100}, gone]), content_type=JSON)
    assert len(names(get_healed(server, "/pypi/proxy/simple/shrinks/").body)) == 2
    assert get(server, kept.here).body == kept.data
    upstream.put("/simple/shrinks/", listing("shrinks", []), content_type=JSON)
    upstream.remove(kept.there)
    assert names(get(server, "/pypi/proxy/simple/shrinks/").body) == [wheel_name("shrinks")]
    assert get(server, kept.here).body == kept.data


def test_429_rests_the_whole_host(tmp_path: Any) -> None:
    with playing() as upstream:
        one, other = lay_wheel(upstream, "one", b"1" * 10), lay_wheel(upstream, "other", b"2" * 10)
        with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
            assert get(server, other.here).status == 200
            upstream.fault("/simple/one/", status=429, retry_after="2", times=1)
            first = get(server, "/pypi/proxy/simple/one/")
            assert (first.status, first.headers["retry-after"]) == (503, "2")
            upstream.forget()
            stale = get(server, "/pypi/proxy/simple/other/")
            assert (stale.status, stale.headers["warning"][:3]) == (200, "110")
            assert upstream.hits() == 0
            assert names(get_healed(server, "/pypi/proxy/simple/one/").body) == [wheel_name("one")]
            assert get(server, one.here).body == one.data


def test_a_root_that_is_missing_is_an_outage(server: Running, upstream: Upstream) -> None:
    upstream.remove("/simple/")
    got = get(server, "/pypi/proxy/simple/")
    assert (got.status, "retry-after" in got.headers) == (503, True)
    projects = {"meta": {"api-version": "1.1"}, "projects": [{"name": "Zoo.Keeper"}, {"name": "aardvark"}]}
    upstream.put("/simple/", json.dumps(projects).encode(), content_type=JSON)
    found = json.loads(get_healed(server, "/pypi/proxy/simple/").body)["projects"]
    assert [each["name"] for each in found] == ["aardvark", "zoo-keeper"]
    server.put("/generic/local/x", b"x")
    merged = json.loads(get(server, "/pypi/all/simple/").body)["projects"]
    assert [each["name"] for each in merged] == ["aardvark", "zoo-keeper"]


def test_many_askers_of_a_cold_page_ask_the_upstream_once(upstream: Upstream, tmp_path: Any) -> None:
    lay_wheel(upstream, "busy", noise(100, "busy"))
    upstream.fault("/simple/busy/", delay=0.5)
    upstream.forget()
    with running(tmp_path / "var", config=settings(upstream)) as server:
        results: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: results.append(get(server, "/pypi/proxy/simple/busy/").body))
            for _ in range(30)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(results) == 30 and len(set(results)) == 1
    assert names(results[0]) == [wheel_name("busy")]
    assert upstream.hits("/simple/busy/") == 1


@pytest.mark.parametrize("fault", ["down", "portal", "404", "500", "bomb"])
def test_a_folder_of_a_plain_upstream_meets_a_fault(server: Running, upstream: Upstream, fault: str) -> None:
    kinds, expected = FAULTS[fault]
    upstream.put(
        f"/raw/{fault}/", b'<title>Index of /</title><a href="a.bin">a.bin</a>', content_type="text/html; charset=utf-8"
    )
    path = f"/generic/proxy/{fault}/"
    upstream.fault(f"/raw/{fault}/", **kinds)
    assert get(server, path).status == expected
    upstream.heal(f"/raw/{fault}/")
    good = get_healed(server, path)
    assert b"a.bin" in good.body
    upstream.fault(f"/raw/{fault}/", **kinds)
    stale = get(server, path)
    assert (stale.status, stale.body) == (200, good.body)
    assert stale.headers["warning"].startswith("110")
