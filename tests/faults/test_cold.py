"""Ranges and HEAD of files whose bytes are not here yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.playground import (
    Played,
    get,
    get_healed,
    lay_crate,
    lay_plain,
    lay_wheel,
    noise,
    settings,
    settle,
    sha256,
    stored,
)
from tests.running import Running, running
from tests.upstreams import Upstream, playing

BIG = 12_000_000
Lay = Callable[[Upstream, str, bytes], Played]
EACH = pytest.mark.parametrize("lay", [lay_wheel, lay_plain, lay_crate], ids=["pypi", "generic", "cargo"])


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("cold") / "var", config=settings(upstream)) as server:
        yield server


@EACH
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("0-0", 0, 0), ("100-199", 100, 199), ("50000-", 50_000, 99_999), ("-1", 99_999, 99_999)],
)
def test_a_cold_range_is_a_part_and_the_cache_is_whole(
    server: Running, upstream: Upstream, lay: Lay, asked: str, first: int, last: int
) -> None:
    played = lay(upstream, f"part{first}-{last}".replace("-", "to"), noise(100_000, asked))
    upstream.forget()
    got = get(server, played.here, {"Range": f"bytes={asked}"})
    assert (got.status, got.body) == (206, played.data[first : last + 1])
    assert got.headers["content-range"] == f"bytes {first}-{last}/100000"
    assert got.headers["content-length"] == str(last - first + 1)
    assert settle(server.data) == []
    assert stored(server, played.here) == sha256(played.data)
    whole = get(server, played.here)
    assert (whole.status, whole.body) == (200, played.data)
    assert upstream.hits(played.there) == 1


def test_a_range_that_is_here_does_not_wait_for_the_rest(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "early", noise(900_000, "early"))
    upstream.fault(played.there, drip=300_000)
    began = time.monotonic()
    got = get(server, played.here, {"Range": "bytes=0-999"})
    assert (got.status, got.body) == (206, played.data[:1000])
    assert time.monotonic() - began < 1.5
    assert get(server, played.here).body == played.data


@EACH
def test_a_far_tail_is_asked_of_the_upstream_and_not_kept_by_clients(
    server: Running, upstream: Upstream, lay: Lay
) -> None:
    played = lay(upstream, "tail", noise(BIG, lay.__name__))
    upstream.fault(played.there, drip=BIG // 4)
    upstream.forget()
    began = time.monotonic()
    got = get(server, played.here, {"Range": "bytes=-5000"})
    assert time.monotonic() - began < 2.5
    assert (got.status, got.body) == (206, played.data[-5000:])
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["content-range"] == f"bytes {BIG - 5000}-{BIG - 1}/{BIG}"
    spans = [request.headers["range"] for request in upstream.requests if "range" in request.headers]
    assert spans == [f"bytes={BIG - 5000}-{BIG - 1}"]
    assert get(server, played.here).body == played.data
    assert upstream.hits(played.there) == 2, "the fill went on to its end"
    assert stored(server, played.here) == sha256(played.data)


def test_a_far_range_without_upstream_ranges_is_the_whole(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "whole", noise(BIG, "whole"))
    upstream.fault(played.there, no_ranges=True, drip=BIG)
    got = get(server, played.here, {"Range": "bytes=-5000"})
    assert (got.status, len(got.body)) == (200, BIG)
    assert got.body == played.data


def test_an_upstream_that_breaks_on_ranges_costs_only_time(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "no-part", noise(BIG, "no-part"))
    upstream.fault(played.there, drip=BIG // 2, times=1)
    upstream.forget()
    assert get(server, played.here, {"Range": "bytes=0-9"}).status == 206
    upstream.fault(played.there, status=500)
    got = get(server, played.here, {"Range": f"bytes={BIG - 10}-"})
    assert (got.status, got.body) in [(200, played.data), (206, played.data[-10:])]
    upstream.heal(played.there)


def test_a_start_past_the_end_is_416(server: Running, upstream: Upstream) -> None:
    played = lay_wheel(upstream, "past", noise(1000, "past"))
    for _ in range(2):
        got = get(server, played.here, {"Range": "bytes=1000-"})
        assert (got.status, got.headers["content-range"]) == (416, "bytes */1000")
        assert got.headers["cache-control"] == "no-store"
        assert get(server, played.here).status == 200


def test_several_ranges_and_odd_ones_are_the_whole(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "odd", noise(1000, "odd"))
    for value in ("bytes=0-1,5-6", "lines=1-2", "bytes=5-2", "bytes=", "bytes=a-b", "bytes=" + "0-1," * 5000):
        got = get(server, played.here, {"Range": value})
        assert (got.status, got.body) == (200, played.data), value[:20]


@EACH
def test_if_range_holds_or_gives_the_whole(server: Running, upstream: Upstream, lay: Lay) -> None:
    played = lay(upstream, "if-range", noise(1000, lay.__name__))
    first = get(server, played.here)
    assert stored(server, played.here)
    etag = first.headers.get("etag") or get(server, played.here).headers["etag"]
    part = {"Range": "bytes=10-19"}
    warm = get(server, played.here, part | {"If-Range": get(server, played.here).headers["etag"]})
    assert (warm.status, warm.body) == (206, played.data[10:20])
    for other in ('"other"', f"W/{etag}", "Thu, 01 Jan 2015 00:00:00 GMT"):
        assert get(server, played.here, part | {"If-Range": other}).status == 200


@EACH
def test_a_cold_head_tells_all_and_fetches_nothing(server: Running, upstream: Upstream, lay: Lay) -> None:
    played = lay(upstream, "head", noise(50_000, lay.__name__))
    upstream.forget()
    head = server.ask(played.here, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert (head.header("content-length"), head.header("accept-ranges")) == ("50000", "bytes")
    assert upstream.hits(played.there, "GET") == 0
    assert stored(server, played.here, arriving=False) is None
    got = get(server, played.here)
    assert got.body == played.data
    if lay is not lay_plain:
        assert head.header("etag") == got.headers["etag"]
        assert head.header("last-modified") == got.headers["last-modified"]


def test_a_cold_head_of_a_file_whose_size_nobody_told(server: Running, upstream: Upstream) -> None:
    played = lay_wheel(upstream, "unsized", noise(50_000, "unsized"), sized=False)
    upstream.fault(played.there, no_head=True)
    head = server.ask(played.here, method="HEAD")
    assert (head.status, head.header("content-length"), head.body) == (200, "50000", b"")
    missing = server.ask("/generic/proxy/missing.bin", method="HEAD")
    assert (missing.status, missing.body) == (404, b"")


def test_a_cold_head_of_a_dead_upstream(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "dead", b"x")
    upstream.fault(played.there, down=True)
    assert server.ask(played.here, method="HEAD").status == 503
    upstream.heal(played.there)
    assert get_healed(server, played.here).body == b"x"
