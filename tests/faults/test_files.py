"""Each fault of an upstream, met by the first asker of a file: the answer, the store, the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.faults.playground import (
    Played,
    blobs,
    get,
    get_healed,
    lay_crate,
    lay_npm,
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

SIZE = 200_000
CUT = "cut"
"""The transfer began and was seen to break."""

FAULTS: dict[str, tuple[dict[str, Any], object]] = {
    "down": ({"down": True}, 503),
    "slow-head": ({"delay": 1.7}, 503),
    "cut": ({"cut": SIZE // 2}, CUT),
    "cut-chunks": ({"cut": SIZE // 2, "chunked": True}, CUT),
    "cut-before-the-first-byte": ({"cut": 0}, 503),
    "too-short": ({"lie": 100}, CUT),
    "garbage": ({"raw": b"what?\r\n\r\n"}, 503),
    "endless-header": ({"raw": b"HTTP/1.1 200 OK\r\nx: " + b"a" * 600_000}, 503),
    "two-lengths": ({"headers": {"transfer-encoding": "chunked"}}, 503),
    "no-number": ({"headers": {"content-length": "many"}}, 503),
    "portal": ({"html": True}, 503),
    "bomb": ({"bomb": 5_000_000}, 503),
    "401": ({"status": 401}, 503),
    "403": ({"status": 403}, 503),
    "404": ({"status": 404}, 404),
    "410": ({"status": 410}, 404),
    "429": ({"status": 429}, 503),
    "500": ({"status": 500}, 503),
    "503-later": ({"status": 503, "retry_after": "7"}, 503),
    "304-unasked": ({"status": 304}, 503),
    "206-unasked": ({"status": 206}, 503),
    "redirect-to-metadata": ({"redirect": "http://169.254.169.254/latest/"}, 503),
    "redirect-to-mapped": ({"redirect": "http://[::ffff:169.254.169.254]/"}, 503),
    "redirect-to-file": ({"redirect": "file:///etc/passwd"}, 503),
    "redirect-to-ftp": ({"redirect": "ftp://files.example/x"}, 503),
}

Lay = Callable[[Upstream, str, bytes], Played]


def lay_unsized(upstream: Upstream, name: str, data: bytes) -> Played:
    """A wheel whose page names no size, so that only the transfer itself shows a lie. (A login
    page of another size than named needs no transfer; of unnamed size it is wrong bytes.)"""
    return lay_wheel(upstream, name, data, sized=name == "met-portal")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("files") / "var", config=settings(upstream)) as server:
        yield server


LAYS: dict[str, Lay] = {"pypi": lay_unsized, "generic": lay_plain, "npm": lay_npm, "cargo": lay_crate}
# Indexes of npm and cargo name no sizes: a login page shows as wrong bytes, which has a test of its own.
UNSIZED = ("npm", "cargo")
MET = [(LAYS[format], fault) for fault in FAULTS for format in LAYS if format not in UNSIZED or fault != "portal"]


@pytest.mark.parametrize(("lay", "fault"), MET)
def test_a_fault_is_answered_stores_nothing_and_heals(
    server: Running, upstream: Upstream, lay: Lay, fault: str
) -> None:
    kinds, expected = FAULTS[fault]
    played = lay(upstream, f"met-{fault}", noise(SIZE, fault + lay.__name__))
    upstream.fault(played.there, **kinds)
    for _ in range(2):
        got = get(server, played.here)
        if expected is CUT:
            assert (got.status, got.whole) == (200, False)
            assert len(got.body) < SIZE and played.data.startswith(got.body)
        else:
            assert got.status == expected
            assert got.headers["cache-control"] == "no-store"
            assert ("retry-after" in got.headers) == (expected == 503)
            assert b"/packages/" not in got.body and b"Traceback" not in got.body
            assert upstream.host.encode() not in got.body
    assert settle(server.data) == []
    assert stored(server, played.here, arriving=False) is None
    assert sha256(played.data) not in blobs(server.data)

    upstream.heal(played.there)
    healed = get_healed(server, played.here)
    assert (healed.status, healed.body) == (200, played.data)
    assert stored(server, played.here) == sha256(played.data)


def test_what_the_upstream_asks_to_wait_is_passed_on(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "later", noise(100))
    upstream.fault(played.there, status=503, retry_after="7")
    assert get(server, played.here).headers["retry-after"] == "7"


@pytest.mark.parametrize("lay", [lay_wheel, lay_plain, lay_npm, lay_crate], ids=["pypi", "generic", "npm", "cargo"])
def test_a_redirect_loop_ends(server: Running, upstream: Upstream, lay: Lay) -> None:
    played = lay(upstream, "round", noise(100, "round"))
    upstream.fault(played.there, redirect=played.there)
    upstream.forget()
    assert get(server, played.here).status == 503
    assert upstream.hits(played.there) == 6


@pytest.mark.parametrize("lay", [lay_wheel, lay_plain, lay_npm, lay_crate], ids=["pypi", "generic", "npm", "cargo"])
def test_a_redirect_on_the_same_machine_is_followed(server: Running, upstream: Upstream, lay: Lay) -> None:
    played = lay(upstream, "moved", noise(1000, "moved"))
    there = upstream.put("/elsewhere/moved", played.data)
    upstream.fault(played.there, redirect=there)
    assert get(server, played.here).body == played.data


def test_more_bytes_than_announced_are_not_believed(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "longer", noise(SIZE, "longer"))
    upstream.fault(played.there, lie=-1000)
    got = get(server, played.here)
    assert not got.whole
    assert settle(server.data) == [] and stored(server, played.here, arriving=False) is None
    upstream.heal(played.there)
    assert get_healed(server, played.here).body == played.data


@pytest.mark.parametrize("lie", [1000, -1000], ids=["longer", "shorter"])
def test_a_length_that_the_page_contradicts_is_refused_at_once(server: Running, upstream: Upstream, lie: int) -> None:
    played = lay_wheel(upstream, f"sized{lie}".replace("-", "m"), noise(SIZE, str(lie)))
    upstream.put(played.there, noise(SIZE + lie))
    assert get(server, played.here).status == 503
    assert stored(server, played.here, arriving=False) is None


@pytest.mark.parametrize(
    "lay",
    [lay_wheel, partial(lay_wheel, sized=False), lay_npm, lay_crate],
    ids=["sized", "unsized", "npm", "cargo"],
)
def test_other_bytes_than_the_page_names_are_never_stored_nor_served_twice(
    server: Running, upstream: Upstream, lay: Lay, request: pytest.FixtureRequest
) -> None:
    name = f"wrong-{request.node.callspec.id}"
    played = lay(upstream, name, noise(SIZE, name))
    wrong = noise(SIZE, "other")
    upstream.put(played.there, wrong)
    first = get(server, played.here)
    assert (first.status, first.whole) == (200, False)
    assert len(first.body) < SIZE
    upstream.forget()
    assert get(server, played.here).status == 503
    assert upstream.hits(played.there) == 0, "the host cools down"
    assert settle(server.data) == [] and stored(server, played.here, arriving=False) is None
    assert sha256(wrong) not in blobs(server.data)


def test_wrong_bytes_heal_after_a_restart(upstream: Upstream, tmp_path: Any) -> None:
    played = lay_wheel(upstream, "mended", noise(1000, "mended"))
    upstream.put(played.there, noise(1000, "not"))
    with running(tmp_path / "var", config=settings(upstream)) as server:
        assert not get(server, played.here).whole or get(server, played.here).status == 503
        upstream.put(played.there, played.data)
    with running(tmp_path / "var", config=settings(upstream)) as server:
        assert get(server, played.here).body == played.data


@pytest.mark.parametrize("lay", [lay_wheel, lay_plain, lay_npm, lay_crate], ids=["pypi", "generic", "npm", "cargo"])
def test_no_validators_no_ranges_no_length_still_serve(server: Running, upstream: Upstream, lay: Lay) -> None:
    played = lay(upstream, "bare", noise(SIZE, "bare"))
    upstream.fault(played.there, no_validators=True, no_ranges=True, no_head=True, chunked=True)
    assert get(server, played.here).body == played.data
    upstream.stop()
    try:
        assert stored(server, played.here)
        again = get(server, played.here)
        assert (again.status, again.body) == (200, played.data), "cached files outlive their upstream"
        assert again.headers["content-length"] == str(SIZE)
    finally:
        upstream.resume()


def test_foreign_headers_are_not_copied(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "headers", noise(100, "headers"))
    sent = {"set-cookie": "a=b", "x-accel-redirect": "/etc", "location": "/x", "access-control-allow-origin": "*"}
    upstream.fault(played.there, headers=sent | {"content-disposition": "attachment; filename=other"})
    for _ in range(2):
        got = get(server, played.here)
        assert got.status == 200
        assert not {*sent, "content-disposition"} & got.headers.keys()
        assert "sandbox" in got.headers["content-security-policy"]


def test_a_breaker_opens_and_closes(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "breaker", noise(100, "breaker"))
    upstream.fault(played.there, down=True)
    for _ in range(6):
        assert get(server, played.here).status == 503
    upstream.forget()
    assert get(server, played.here).status == 503
    assert upstream.hits() == 0, "a host that keeps failing is left alone"
    upstream.heal(played.there)
    assert get_healed(server, played.here).body == played.data


def test_a_drip_disturbs_nobody_else(server: Running, upstream: Upstream) -> None:
    slow = lay_plain(upstream, "drip", noise(40_000, "drip"))
    quick = lay_plain(upstream, "quick", noise(SIZE, "quick"))
    upstream.fault(slow.there, drip=20_000)
    results: list[bytes] = []
    thread = threading.Thread(target=lambda: results.append(get(server, slow.here).body))
    thread.start()
    time.sleep(0.2)
    began = time.monotonic()
    assert get(server, quick.here).body == quick.data
    assert time.monotonic() - began < 1.5
    thread.join(20)
    assert results == [slow.data]


@pytest.mark.matrix
def test_a_drip_below_the_least_rate_is_given_up(upstream: Upstream, tmp_path: Any) -> None:
    played = lay_plain(upstream, "trickle", noise(60_000, "trickle"))
    upstream.fault(played.there, drip=100)
    with running(tmp_path / "var", config=settings(upstream)) as server:
        got = get(server, played.here, timeout=90)
        assert not got.whole and len(got.body) < 60_000
        assert settle(server.data) == [] and stored(server, played.here, arriving=False) is None
