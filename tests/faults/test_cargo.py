"""Faults that only an upstream of cargo can have: of ``config.json``, of lines, of what it says of archives."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.requests import boxed, indexed
from tests.faults.playground import (
    FRESH,
    Got,
    blobs,
    get,
    get_healed,
    index_file,
    lay_config,
    lay_crate,
    noise,
    rows,
    settings,
    settle,
    sha256,
    stored,
)
from tests.formats.cargo.artefacts import body, crate, line, told
from tests.running import Running, running
from tests.upstreams import Upstream, playing

CONFIG = "/index/config.json"
OFFER = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA"}
"""What cargo sends with each GET over plain HTTP."""


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """A server that has not asked its upstream for anything, and asks it for a page at every request."""
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        yield server


def page(name: str, repository: str = "proxy") -> str:
    return f"/cargo/{repository}/{indexed(name)}"


def detail(got: Got) -> str:
    """The error that cargo prints."""
    return str(json.loads(got.body)["errors"][0]["detail"])


# config.json, which is fetched when the first archive is asked for


@dataclass(frozen=True)
class Sick:
    """What is wrong with a ``config.json``: a fault, or other bytes in its place."""

    fault: Mapping[str, Any] | None = None
    body: bytes = b""


CONFIGS = {
    "down": Sick({"down": True}),
    "slow": Sick({"delay": 1.7}),
    "500": Sick({"status": 500}),
    "429": Sick({"status": 429}),
    "403": Sick({"status": 403}),
    "portal": Sick({"html": True}),
    "cut": Sick({"cut": 5}),
    "bomb": Sick({"bomb": 30_000_000}),
    "redirect-to-metadata": Sick({"redirect": "http://169.254.169.254/config.json"}),
    "empty": Sick(body=b""),
    "no-dl": Sick(body=b"{}"),
    "no-object": Sick(body=b"[]"),
    "dl-is-no-text": Sick(body=b'{"dl": 7}'),
}


@pytest.mark.parametrize("sick", CONFIGS.values(), ids=[*CONFIGS])
def test_an_index_whose_config_is_sick(server: Running, upstream: Upstream, sick: Sick) -> None:
    """Where archives are cannot be known: 503, which cargo asks again after, and nothing is kept. The index itself
    needs no config."""
    played = lay_crate(upstream, "demo", boxed("demo"))
    if sick.fault is None:
        upstream.put(CONFIG, sick.body, content_type="application/json")
    else:
        upstream.fault(CONFIG, **sick.fault)
    assert get(server, page("demo")).status == 200
    assert upstream.hits(CONFIG) == 0, "nobody has asked for an archive"
    for path in (played.here, played.here.replace("proxy", "all")):
        got = get(server, path)
        assert (got.status, "retry-after" in got.headers, got.headers["cache-control"]) == (503, True, "no-store")
        assert detail(got) and upstream.host not in got.body.decode() and "Traceback" not in got.body.decode()
    assert upstream.hits(CONFIG) > 0 and upstream.hits(played.there) == 0
    assert settle(server.data) == [] and stored(server, played.here, arriving=False) is None
    upstream.heal(CONFIG)
    lay_config(upstream, f"{upstream.url}crates")
    assert get_healed(server, played.here).body == played.data


def test_an_index_without_a_config(server: Running, upstream: Upstream) -> None:
    """Whoever configured the address of something else must see that; the archive is not said to be missing."""
    played = lay_crate(upstream, "demo", boxed("demo"))
    upstream.remove(CONFIG)
    got = get(server, played.here)
    assert got.status == 503, detail(got)
    assert upstream.host not in got.body.decode()


def test_a_config_that_was_read_outlives_a_fault(server: Running, upstream: Upstream) -> None:
    first = lay_crate(upstream, "first", boxed("first"))
    assert get(server, first.here).body == first.data
    for name, kinds in (("one", {"status": 500}), ("two", {"html": True}), ("six", {"cut": 5})):
        played = lay_crate(upstream, name, boxed(name))
        upstream.fault(CONFIG, **kinds)
        upstream.forget()
        assert get(server, played.here).body == played.data, name
        assert upstream.hits(played.there) == 1


def test_a_config_that_was_read_outlives_its_absence(server: Running, upstream: Upstream) -> None:
    first, other = (lay_crate(upstream, name, boxed(name)) for name in ("first", "other"))
    assert get(server, first.here).body == first.data
    upstream.remove(CONFIG)
    got = get(server, other.here)
    assert upstream.host not in got.body.decode("latin-1")
    assert got.status == 503 or got.body == other.data


def test_a_config_that_moves_is_followed(server: Running, upstream: Upstream) -> None:
    """By a redirect at first, then by another ``dl``, without a restart."""
    played = lay_crate(upstream, "demo", boxed("demo"))
    there = upstream.put("/moved.json", json.dumps({"dl": f"{upstream.url}crates"}).encode())
    upstream.fault(CONFIG, redirect=there)
    assert get(server, played.here).body == played.data
    upstream.heal()
    other = lay_crate(upstream, "other", boxed("other"))
    upstream.remove(other.there)
    upstream.put("/elsewhere/other-1.0.0.crate", other.data)
    lay_config(upstream, f"{upstream.url}elsewhere/{{crate}}-{{version}}.crate")
    assert get(server, other.here).body == other.data


SUM = sha256(boxed("Mixed_Case", "1.0.0+b"))
TEMPLATES = {
    "": "/Mixed_Case/1.0.0+b/download",
    "files": "/files/Mixed_Case/1.0.0+b/download",
    "files/": "/files/Mixed_Case/1.0.0+b/download",
    "{crate}": "/Mixed_Case",
    "v/{version}": "/v/1.0.0+b",
    "{prefix}/{crate}-{version}.crate": "/Mi/xe/Mixed_Case-1.0.0+b.crate",
    "{lowerprefix}/{crate}": "/mi/xe/Mixed_Case",
    "by/{sha256-checksum}": f"/by/{SUM}",
    "all/{prefix}/{lowerprefix}/{crate}/{version}/{sha256-checksum}?x=1": (
        f"/all/Mi/xe/mi/xe/Mixed_Case/1.0.0+b/{SUM}"
    ),
}


def test_archives_are_at_another_port_by_every_marker(server: Running, upstream: Upstream) -> None:
    """The Cargo Book, "Index configuration". The upstream is private, so its files may lie on a private host too."""
    name, version, data = "Mixed_Case", "1.0.0+b", boxed("Mixed_Case", "1.0.0+b")
    with playing() as files:
        for number, (template, there) in enumerate(TEMPLATES.items()):
            spelled = f"{name}{number}"
            place = there.replace(name, spelled)
            files.put(place, data)
            upstream.put(f"/index/{indexed(spelled)}", index_file(line(spelled, version, SUM)))
            lay_config(upstream, f"{files.url}{template}")
            got = get(server, f"/cargo/proxy/api/v1/crates/{spelled}/{version}/download")
            assert (got.status, got.body) == (200, data), template
            assert files.hits(place) == 1, template
        assert upstream.hits(method="GET") == 2 * len(TEMPLATES), "an index file and config.json for each"


@pytest.mark.parametrize(
    "dl",
    ["http://169.254.169.254/latest/", "http://[::ffff:169.254.169.254]", "file:///etc/passwd", "/crates", "ftp:x"],
)
def test_a_config_that_leads_astray(server: Running, upstream: Upstream, dl: str) -> None:
    played = lay_crate(upstream, "demo", boxed("demo"))
    lay_config(upstream, dl)
    got = get(server, played.here)
    assert (got.status, "retry-after" in got.headers) == (503, True), detail(got)
    assert stored(server, played.here, arriving=False) is None and settle(server.data) == []


# Index files


@pytest.mark.parametrize("fault", [{"html": True}, {"cut": 40}, {"cut": 40, "chunked": True}, {"lie": 100}])
def test_what_is_no_index_file_is_not_kept(server: Running, upstream: Upstream, fault: dict[str, Any]) -> None:
    lay_crate(upstream, "demo", boxed("demo"))
    upstream.fault(f"/index/{indexed('demo')}", **fault)
    for repository in ("proxy", "all"):
        got = get(server, page("demo", repository))
        assert (got.status, "retry-after" in got.headers) == (503, True)
    assert settle(server.data) == []
    for table in ("pages", "upstream_states", "files", "packages"):
        assert rows(server, f"SELECT * FROM {table}") == [], table


def test_a_broken_line_among_good_ones_hides_only_itself(server: Running, upstream: Upstream) -> None:
    """As cargo has it: a version whose line it cannot read is not there."""
    archives = {version: boxed("demo", version) for version in ("1.0.0", "2.0.0", "3.0.0")}
    for version, data in archives.items():
        lay_crate(upstream, "demo", data, version)
    one, two, three = (index_file(line("demo", version, sha256(data))) for version, data in archives.items())
    broken = {
        "cut": two[:60] + b"\n",
        "no sum": index_file(line("demo", "2.0.0", "x")),
        "no text": b'{"name": 7, "vers": "2.0.0", "deps": [], "cksum": "' + b"0" * 64 + b'"}\n',
        "another crate's": index_file(line("other", "2.0.0", sha256(archives["2.0.0"]))),
        "bytes": b"\xff\xfe\x00\n",
        "deep": b"[" * 100_000 + b"\n",
        "empty": b"\n\n",
    }
    for kind, odd in broken.items():
        upstream.put(f"/index/{indexed('demo')}", one + odd + three)
        got = get(server, page("demo"))
        assert (got.status, got.body) == (200, one + three), kind
        assert "warning" not in got.headers
        assert get(server, "/cargo/proxy/api/v1/crates/demo/2.0.0/download").status == 404, kind
    assert get(server, "/cargo/proxy/api/v1/crates/demo/3.0.0/download").body == archives["3.0.0"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_upstream_that_is_ill_leaves_the_old_index(server: Running, upstream: Upstream, status: int) -> None:
    """cargo.md 52."""
    played = lay_crate(upstream, "demo", boxed("demo"))
    good = get(server, page("demo"))
    lay_crate(upstream, "demo", boxed("demo", "2.0.0"), "2.0.0")
    upstream.fault(f"/index/{indexed('demo')}", status=status, retry_after="1")
    for repository in ("proxy", "all"):
        stale = get(server, page("demo", repository))
        assert (stale.status, stale.body, stale.headers["warning"][:3]) == (200, good.body, "110")
    again = get(server, page("demo"), {"If-None-Match": good.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert get_healed(server, played.here).body == played.data
    unknown = get(server, page("unknown"))
    assert unknown.status in (404, 503) and detail(unknown)


def test_a_yank_upstream_is_seen_by_the_first_asker_after_the_age(upstream: Upstream, tmp_path: Path) -> None:
    """cargo.md 53: confirmed before the answer, and not before its age."""
    data = boxed("demo")
    played = lay_crate(upstream, "demo", data)
    with running(tmp_path / "var", config=settings(upstream, "page_life = 3\nstale_for = 600\n")) as server:
        first = get(server, page("demo"))
        began = time.monotonic()
        yanked = index_file(line("demo", cksum=sha256(data), yanked=True))
        upstream.put(f"/index/{indexed('demo')}", yanked)
        upstream.forget()
        assert get(server, page("demo")).body == first.body
        assert upstream.hits() == 0 or time.monotonic() - began > 2.5
        time.sleep(3.2)
        seen = get(server, page("demo"), {"If-None-Match": first.headers["etag"]})
        assert (seen.status, seen.body) == (200, yanked)
        assert upstream.hits(f"/index/{indexed('demo')}") == 1
        assert get(server, page("demo", "all")).body == yanked
        assert get(server, played.here).body == data, "it is still to be had"


def test_a_crate_that_is_gone_upstream_is_gone_but_for_what_is_here(server: Running, upstream: Upstream) -> None:
    """cargo.md 54: the index says 404, and an archive that is here stays; a crate that comes back is there again."""
    played = lay_crate(upstream, "demo", boxed("demo"))
    cold = lay_crate(upstream, "cold", boxed("cold"))
    good = get(server, page("demo"))
    assert get(server, played.here).body == played.data and get(server, page("cold")).status == 200
    for gone in (played, cold):
        upstream.remove(gone.there)
    for name in ("demo", "cold"):
        upstream.remove(f"/index/{indexed(name)}")
    for path in (page("demo"), page("demo", "all"), page("cold"), page("never"), cold.here):
        for _ in range(2):
            got = get(server, path)
            assert got.status == 404 and detail(got), path
            assert upstream.host not in detail(got)
    for path in (played.here, played.here.replace("proxy", "all")):
        assert get(server, path).body == played.data
    lay_crate(upstream, "demo", played.data)
    assert get(server, page("demo")).body == get(server, page("demo", "all")).body == good.body


# Archives


def test_an_archive_with_another_sum_is_an_alarm(server: Running, upstream: Upstream) -> None:
    """cargo.md 51: not stored, told to the operator, and asked for again only after a while."""
    played = lay_crate(upstream, "demo", boxed("demo") + noise(200_000))
    wrong = boxed("demo") + noise(200_000, "other")
    upstream.put(played.there, wrong)
    first = get(server, played.here)
    assert (first.status, first.whole) in ((200, False), (503, True)) and len(first.body) < len(wrong)
    again = get(server, played.here)
    assert (again.status, "retry-after" in again.headers) == (503, True) and detail(again)
    assert upstream.hits(played.there) == 1
    assert settle(server.data) == [] and stored(server, played.here, arriving=False) is None
    assert not {sha256(wrong), sha256(played.data)} & blobs(server.data).keys()
    assert 'kind="mismatches"} 1.0' in server.ask("/metrics", token=server.token).text
    assert "bytes disagree with the index" in server.log.read_text()
    assert get(server, page("demo")).status == 200


def test_fifty_askers_of_a_cold_archive(server: Running, upstream: Upstream) -> None:
    """One index file, one config, one archive, though nobody had asked for any of them."""
    played = lay_crate(upstream, "demo", boxed("demo") + noise(600_000))
    upstream.fault(CONFIG, delay=0.3)
    upstream.fault(played.there, drip=600_000)
    found: list[Got] = []
    paths = [played.here, played.here.replace("proxy", "all")]
    threads = [
        threading.Thread(target=lambda path=paths[at % 2]: found.append(get(server, path, timeout=60)))
        for at in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [(got.status, got.whole, got.body == played.data) for got in found] == [(200, True, True)] * 50
    assert upstream.hits(played.there) == 1
    assert stored(server, played.here) == sha256(played.data)


# Offers of HTTP/2


def test_offers_of_http2_change_nothing(server: Running, upstream: Upstream) -> None:
    """cargo.md 57: on one connection, again and again, for files, pages, computed answers and errors, from the
    upstream, from the store and from answers that lie ready; the log says nothing of it."""
    played = lay_crate(upstream, "demo", boxed("demo"))
    assert server.put("/cargo/local/api/v1/crates/new", body(told("mine"), crate("mine"))).status == 200
    paths = [
        *("/cargo/local/config.json", page("mine", "local"), page("mine", "all"), page("demo"), page("nope", "local")),
        *(played.here, "/cargo/local/api/v1/crates/mine/1.0.0/download", "/cargo/local/api/v1/crates?q=mine"),
    ]
    seen: dict[str, list[Got]] = {}
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as talk, talk.makefile("rb") as heard:
        for path in sorted(paths * 4):
            lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}"]
            lines += ["cargo-protocol: version=1", "accept: text/plain, */*"]
            lines += [f"{name}: {value}" for name, value in OFFER.items()]
            talk.sendall("\r\n".join([*lines, "", ""]).encode())
            status = int(heard.readline().split()[1])
            headers: dict[str, str] = {}
            while (text := heard.readline().decode().strip()) != "":
                name, _, value = text.partition(":")
                headers[name.lower()] = value.strip()
            content = heard.read(int(headers["content-length"]))
            assert not {"upgrade", "connection"} & headers.keys(), path
            seen.setdefault(path, []).append(Got(status, headers, content, True))
    for path, answers in seen.items():
        assert {got.status for got in answers} == {404 if "nope" in path else 200}, path
        assert len({got.body for got in answers}) == 1, path
        assert get(server, path).body == answers[0].body
    log = server.log.read_text().lower()
    assert "upgrade" not in log and "h2c" not in log
