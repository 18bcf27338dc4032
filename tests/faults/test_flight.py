"""One fetch for many askers, and what becomes of it when askers or the upstream leave."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.playground import (
    Got,
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

SIZE = 600_000


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("flight") / "var", config=settings(upstream)) as server:
        yield server


def crowd(server: Running, path: str, count: int) -> list[Got]:
    """Many askers at once."""
    found: list[Got] = []
    threads = [threading.Thread(target=lambda: found.append(get(server, path))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.mark.parametrize("lay", [lay_wheel, lay_plain, lay_crate], ids=["pypi", "generic", "cargo"])
def test_fifty_askers_one_fetch(
    server: Running, upstream: Upstream, lay: Callable[[Upstream, str, bytes], Played]
) -> None:
    played = lay(upstream, "crowd", noise(SIZE, lay.__name__))
    upstream.fault(played.there, drip=SIZE)
    upstream.forget()
    found = crowd(server, played.here, 50)
    assert [(got.status, got.whole, got.body == played.data) for got in found] == [(200, True, True)] * 50
    assert upstream.hits(played.there) == 1
    assert stored(server, played.here) == sha256(played.data)


def begin(server: Running, path: str) -> socket.socket:
    """Ask, and read the head and the first bytes only."""
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    found = b""
    while b"\r\n\r\n" not in found or len(found.partition(b"\r\n\r\n")[2]) < 1000:
        chunk = raw.recv(65_536)
        assert chunk, found[:200]
        found += chunk
    return raw


def test_bytes_are_passed_on_while_they_come(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "streamed", noise(SIZE, "streamed"))
    upstream.fault(played.there, drip=SIZE // 2)
    began = time.monotonic()
    begin(server, played.here).close()
    assert time.monotonic() - began < 1.2, "the first bytes do not wait for the last"
    assert get(server, played.here).body == played.data


def test_an_asker_who_leaves_cancels_nothing(server: Running, upstream: Upstream) -> None:
    played = lay_wheel(upstream, "left", noise(SIZE, "left"))
    upstream.fault(played.there, drip=SIZE)
    upstream.forget()
    begin(server, played.here).close()
    assert settle(server.data) == []
    assert stored(server, played.here) == sha256(played.data)
    assert get(server, played.here).body == played.data
    assert upstream.hits(played.there) == 1


def test_the_upstream_dies_under_a_crowd(server: Running, upstream: Upstream) -> None:
    played = lay_wheel(upstream, "dies", noise(SIZE, "dies"))
    upstream.fault(played.there, drip=SIZE, cut=SIZE // 2)
    upstream.forget()
    found = crowd(server, played.here, 10)
    assert len(found) == 10
    assert all(got.status == 200 and not got.whole and len(got.body) < SIZE for got in found)
    assert upstream.hits(played.there) == 1
    assert settle(server.data) == [] and stored(server, played.here, arriving=False) is None
    upstream.heal(played.there)
    assert get_healed(server, played.here).body == played.data


def test_a_chunked_answer_that_breaks_does_not_end_cleanly(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "chunks", noise(SIZE, "chunks"))
    upstream.fault(played.there, chunked=True, cut=SIZE // 2)
    got = get(server, played.here)
    assert (got.status, got.whole) == (200, False)
    upstream.heal(played.there)
    assert get_healed(server, played.here).body == played.data


def test_a_slow_reader_holds_nobody_up(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "reader", noise(8_000_000, "reader"))
    idle = begin(server, played.here)
    try:
        assert get(server, played.here).body == played.data
        assert stored(server, played.here) == sha256(played.data)
    finally:
        idle.close()


def test_two_names_of_one_file_are_two_fetches_of_one_blob(server: Running, upstream: Upstream) -> None:
    data = noise(1000, "twice")
    one, other = lay_plain(upstream, "one", data), lay_plain(upstream, "two", data)
    assert get(server, one.here).body == get(server, other.here).body == data
    assert stored(server, one.here) == stored(server, other.here) == sha256(data)


def test_a_file_and_its_index_are_asked_for_once_from_a_lock_file(server: Running, upstream: Upstream) -> None:
    played = lay_wheel(upstream, "locked", noise(SIZE, "locked"))
    upstream.fault("/simple/locked/", delay=0.3)
    upstream.forget()
    found = crowd(server, played.here, 20)
    assert all(got.body == played.data for got in found) and len(found) == 20
    assert (upstream.hits("/simple/locked/"), upstream.hits(played.there)) == (1, 1)


def test_a_connection_stays_usable_after_streams(server: Running, upstream: Upstream) -> None:
    played = lay_plain(upstream, "kept", noise(SIZE, "kept"))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        for _ in range(3):
            connection.request("GET", played.here)
            assert connection.getresponse().read() == played.data
    finally:
        connection.close()
