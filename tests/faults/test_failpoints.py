"""kill -9 at every step of publishing, filling, removing and sweeping, one after the other."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

import reliquary
from reliquary.failpoints import VARIABLE, arm, reach
from tests.contracts.requests import indexed
from tests.faults.forks import Forks
from tests.faults.playground import (
    Played,
    age,
    blobs,
    get,
    lay_crate,
    lay_plain,
    lay_wheel,
    litter,
    noise,
    rows,
    settings,
    sha256,
    stored,
    wheel_name,
)
from tests.formats.cargo.artefacts import body as framed
from tests.formats.cargo.artefacts import crate, told
from tests.formats.pypi.artefacts import wheel
from tests.running import Running, start
from tests.upstreams import Upstream

# The points of small blobs come first: a look at a page, which stores one, must not meet them.
PUBLISH = (
    *("put.written:1", "put.renamed:1", "publish.written:1", "publish.written:2", "publish.finished:1"),
    *("publish.renamed:1", "publish.stored:1", "add.rows-written:1", "add.before-commit:1", "add.committed:1"),
    "publish.before-answer:1",
)
PUBLISH_CRATE = PUBLISH[2:]
"""A crate has no small blobs beside it."""
FILL = (
    *("fill.begun:1", "fill.written:1", "fill.written:2", "fill.finished:1", "fill.linked:1", "fill.moved:1"),
    *("fill.adopted:1", "fill.before-row:1", "fill.before-commit:1", "fill.committed:1", "fill.landed:1"),
    "fill.before-end:1",
)
UNSTORED = ("fill.begun", "fill.written", "fill.finished", "fill.linked", "fill.moved", "fill.adopted")
PLAIN_FILL = ("fill.adopted:1", "add.rows-written:1", "add.committed:1", "fill.before-state:1")
PAGE = ("page.before-commit:1", "page.committed:1", "put.written:1", "put.renamed:1")
REMOVE = ("remove.rows-deleted:1", "remove.before-commit:1", "remove.committed:1", "remove.before-answer:1")
SWEEP = ("sweep.before-bury:1", "sweep.before-bury:2", "sweep.buried:1", "sweep.before-discard:1", "sweep.discarded:1")
EVICT = ("evict.forgotten:1", "sweep.buried:1", "sweep.discarded:1")


def test_every_point_of_the_code_is_in_the_tables() -> None:
    (folder,) = reliquary.__path__
    found = {
        name for path in Path(folder).rglob("*.py") for name in re.findall(r'\breach\("([^"]+)"\)', path.read_text())
    }
    assert found == {each.partition(":")[0] for each in PUBLISH + FILL + PLAIN_FILL + PAGE + REMOVE + SWEEP + EVICT}


@pytest.mark.parametrize("value", ["name", "name:", ":1", "name:0", "name:-1", "name:x"])
def test_an_odd_value_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=VARIABLE):
        arm({VARIABLE: value})


def test_nothing_happens_unarmed() -> None:
    arm({})
    reach("publish.stored")


def armed(forks: Forks, data: Path, config: str, point: str) -> Running:
    """A server that dies at a point; what the one before left was old enough to be cleared away."""
    age(data)
    server = start(data, config=config, env={VARIABLE: point}, by=forks.spawn)
    assert litter(data) == [], point
    return server


def died(server: Running, point: str) -> None:
    """The server came to its point."""
    try:
        assert server.process.wait(15) == -signal.SIGKILL, point
    except subprocess.TimeoutExpired:
        server.kill()
        pytest.fail(f"{point} was not reached")


def put(server: Running, path: str, data: bytes) -> int:
    """PUT; 0 when the server died over it."""
    with suppress(OSError, http.client.HTTPException):
        return server.put(path, data).status
    return 0


def name_of(point: str) -> str:
    """A project's name for a point."""
    return re.sub(r"\W", "x", point)


def listed(server: Running, name: str) -> dict[str, str]:
    """File names to digests on a hosted project's page."""
    got = get(server, f"/pypi/local/simple/{name}/")
    assert got.status in (200, 404)
    return (
        {each["filename"]: each["hashes"]["sha256"] for each in json.loads(got.body)["files"]}
        if got.body[:1] == b"{" and got.status == 200
        else {}
    )


def whole_or_absent(server: Running, name: str, data: bytes) -> bool:
    """A release is listed and whole, or neither listed nor here; whether it is."""
    there = listed(server, name) != {}
    got = get(server, f"/pypi/local/files/{name}/{sha256(data)}/{wheel_name(name)}")
    assert (got.status, got.body == data) == ((200, True) if there else (404, False)), name
    return there


@pytest.mark.timeout(150)
def test_a_publish_killed_at_every_step(upstream: Upstream, forks: Forks, tmp_path: Path) -> None:
    data, config = tmp_path / "var", settings(upstream)
    items = {point: wheel(name_of(point), members={"x": noise(700_000, point)}) for point in PUBLISH}
    before = ""
    for point, item in items.items():
        server = armed(forks, data, config, point)
        try:
            if before:
                committed = PUBLISH.index(before) >= PUBLISH.index("add.committed:1")
                assert whole_or_absent(server, name_of(before), items[before]) == committed, before
            assert put(server, f"/pypi/main/{wheel_name(name_of(point))}", item) == 0, point
            died(server, point)
        finally:
            server.stop()
        before = point
    age(data)
    server = start(data, config=config, by=forks.spawn)
    try:
        for point, item in items.items():
            expected = 200 if whole_or_absent(server, name_of(point), item) else 201
            assert put(server, f"/pypi/main/{wheel_name(name_of(point))}", item) == expected, point
            assert whole_or_absent(server, name_of(point), item)
        assert litter(data) == []
    finally:
        server.stop()
    forks.verify(data)


def line_or_absent(server: Running, name: str, data: bytes) -> bool:
    """A crate is in the index and whole, or neither in the index nor here; whether it is."""
    page = get(server, f"/cargo/local/{indexed(name)}")
    got = get(server, f"/cargo/local/api/v1/crates/{name}/1.0.0/download")
    assert (page.status, got.status, got.body == data) in ((200, 200, True), (404, 404, False)), name
    assert page.status == 404 or json.loads(page.body)["cksum"] == sha256(data), name
    return page.status == 200


@pytest.mark.timeout(150)
def test_a_publish_of_a_crate_killed_at_every_step(upstream: Upstream, forks: Forks, tmp_path: Path) -> None:
    """cargo looks at the index after a publish that was cut: what is there is whole, the rest can be sent again."""
    data, config = tmp_path / "var", settings(upstream)
    items = {point: crate(name_of(point), files={"x": noise(700_000, point)}) for point in PUBLISH_CRATE}
    for point, item in items.items():
        name = name_of(point)
        server = armed(forks, data, config, point)
        try:
            assert put(server, "/cargo/main/api/v1/crates/new", framed(told(name), item)) == 0, point
            died(server, point)
        finally:
            server.stop()
    age(data)
    server = start(data, config=config, by=forks.spawn)
    try:
        for point, item in items.items():
            name = name_of(point)
            there = line_or_absent(server, name, item)
            assert there == (PUBLISH_CRATE.index(point) >= PUBLISH_CRATE.index("add.committed:1")), point
            again = put(server, "/cargo/main/api/v1/crates/new", framed(told(name), item))
            assert again == (409 if there else 200), point
            assert line_or_absent(server, name, item)
        assert litter(data) == []
    finally:
        server.stop()
    forks.verify(data)


def kill_fills(forks: Forks, data: Path, config: str, points: Sequence[str], laid: Sequence[Played]) -> None:
    """Kill one fill at each point, look at what it left, then fill them all."""
    for point, played in zip(points, laid, strict=True):
        server = armed(forks, data, config, point)
        try:
            got = get(server, played.here)
            assert played.data.startswith(got.body), point
            # Readers have the last byte once the bytes are right and stored, before a row names them.
            stored_by_then = point.partition(":")[0] not in UNSTORED
            assert stored_by_then or not (got.whole or got.body == played.data), point
            died(server, point)
            blob = stored(server, played.here, arriving=False)
            assert blob is None or (blob, blobs(data)[blob]) == (sha256(played.data), len(played.data)), point
        finally:
            server.stop()
    age(data)
    server = start(data, config=config, by=forks.spawn)
    try:
        assert litter(data) == []
        for point, played in zip(points, laid, strict=True):
            got = get(server, played.here)
            assert (got.status, got.body) == (200, played.data), point
            assert stored(server, played.here) == sha256(played.data)
    finally:
        server.stop()
    forks.verify(data)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("lay", [lay_wheel, lay_crate], ids=["pypi", "cargo"])
def test_a_fill_killed_at_every_step(
    upstream: Upstream, forks: Forks, tmp_path: Path, lay: Callable[[Upstream, str, bytes], Played]
) -> None:
    laid = [lay(upstream, name_of(point), noise(900_000, point)) for point in FILL]
    kill_fills(forks, tmp_path / "var", settings(upstream), FILL, laid)


@pytest.mark.timeout(100)
def test_a_fill_of_a_file_that_may_change_killed_at_every_step(
    upstream: Upstream, forks: Forks, tmp_path: Path
) -> None:
    laid = [lay_plain(upstream, name_of(point), noise(900_000, point)) for point in PLAIN_FILL]
    kill_fills(forks, tmp_path / "var", settings(upstream), PLAIN_FILL, laid)


@pytest.mark.timeout(100)
def test_a_page_killed_at_every_step(upstream: Upstream, forks: Forks, tmp_path: Path) -> None:
    data, config = tmp_path / "var", settings(upstream)
    for point in PAGE:
        name = name_of(point)
        lay_wheel(upstream, name, noise(1000, point))
        server = armed(forks, data, config, point)
        try:
            assert get(server, f"/pypi/proxy/simple/{name}/").status == 0, point
            died(server, point)
        finally:
            server.stop()
    server = start(data, config=config, by=forks.spawn)
    try:
        for point in PAGE:
            got = get(server, f"/pypi/proxy/simple/{name_of(point)}/")
            assert [each["filename"] for each in json.loads(got.body)["files"]] == [wheel_name(name_of(point))]
    finally:
        server.stop()
    forks.verify(data)


@pytest.mark.timeout(100)
def test_a_removal_killed_at_every_step(upstream: Upstream, forks: Forks, tmp_path: Path) -> None:
    data, config = tmp_path / "var", settings(upstream)
    items = {f"/generic/local/r/{name_of(point)}.bin": noise(5000, point) for point in REMOVE}
    for point, (path, item) in zip(REMOVE, items.items(), strict=True):
        server = armed(forks, data, config, point)
        try:
            assert put(server, path, item) == 201
            with pytest.raises((OSError, http.client.HTTPException)):
                server.ask(path, method="DELETE", token=server.token)
            died(server, point)
        finally:
            server.stop()
    server = start(data, config=config, by=forks.spawn)
    try:
        page = get(server, "/generic/local/r/?format=json")
        names = {each["name"] for each in json.loads(page.body)["files"]}
        for point, (path, item) in zip(REMOVE, items.items(), strict=True):
            there = REMOVE.index(point) < REMOVE.index("remove.committed:1")
            assert (path.rpartition("/")[2] in names) == there, point
            got = get(server, path)
            assert (got.status, got.body == item) == ((200, True) if there else (404, False)), point
            assert server.ask(path, method="DELETE", token=server.token).status == (204 if there else 404)
            assert get(server, path).status == 404
    finally:
        server.stop()
    forks.verify(data)


def collect(forks: Forks, data: Path, point: str | None) -> int:
    """Run the collection of garbage, to a point; its exit code."""
    args = ["gc", "--data", str(data), "--config", str(data.parent / "var.toml")]
    return forks.run(args, data.parent, {VARIABLE: point} if point else None)[0]


@pytest.mark.timeout(100)
def test_a_sweep_killed_at_every_step(upstream: Upstream, forks: Forks, tmp_path: Path) -> None:
    data, config = tmp_path / "var", settings(upstream, "gc_grace = 0")
    kept = {f"/generic/local/kept{count}.bin": noise(3000, f"kept {count}") for count in range(5)}
    server = start(data, config=config, by=forks.spawn)
    try:
        for path, item in kept.items():
            assert put(server, path, item) == 201
        for count in range(6):
            path = f"/generic/local/gone{count}.bin"
            assert put(server, path, noise(3000, path)) == 201
            assert server.ask(path, method="DELETE", token=server.token).status == 204
    finally:
        server.stop()
    for point in SWEEP:
        assert collect(forks, data, point) == -signal.SIGKILL, point
        forks.verify(data)
    assert collect(forks, data, None) == 0
    assert {sha256(item) for item in kept.values()} == blobs(data).keys()
    assert list((data / "trash").iterdir()) == []
    server = start(data, config=config, by=forks.spawn)
    try:
        for path, item in kept.items():
            assert get(server, path).body == item
    finally:
        server.stop()


@pytest.mark.timeout(60)
def test_a_named_blob_in_the_trash_is_back_before_anybody_asks(
    upstream: Upstream, forks: Forks, tmp_path: Path
) -> None:
    """A row may appear between a sweep's burial and its second look; a kill lies in between."""
    data, config = tmp_path / "var", settings(upstream)
    item = noise(3000, "named")
    server = start(data, config=config, by=forks.spawn)
    try:
        assert put(server, "/generic/local/named.bin", item) == 201
    finally:
        server.kill()
    blob = sha256(item)
    (data / "blobs" / "sha256" / blob[:2] / blob[2:4] / blob).rename(data / "trash" / blob)
    server = start(data, config=config, by=forks.spawn)
    try:
        assert get(server, "/generic/local/named.bin").body == item
    finally:
        server.stop()


@pytest.mark.timeout(100)
def test_an_eviction_killed_at_every_step(upstream: Upstream, forks: Forks, tmp_path: Path) -> None:
    data = tmp_path / "var"
    config = settings(upstream).replace('raw/"\n', 'raw/"\ncache_max_size = 500_000\n')
    laid = [lay_plain(upstream, f"evicted{count}", noise(400_000, str(count))) for count in range(len(EVICT) + 1)]
    server = start(data, config=config, by=forks.spawn)
    assert get(server, laid[0].here).body == laid[0].data
    server.stop()
    for point, played in zip(EVICT, laid[1:], strict=True):
        server = armed(forks, data, config, point)
        try:
            get(server, played.here)
            died(server, point)
            for path in (each.here for each in laid):
                blob = stored(server, path, arriving=False)
                assert blob is None or blob in blobs(data), point
        finally:
            server.stop()
    server = start(data, config=config, by=forks.spawn)
    try:
        for played in laid:
            assert get(server, played.here).body == played.data
        named = {blob for (blob,) in rows(server, "SELECT blob FROM files WHERE blob IS NOT NULL")}
        assert named <= blobs(data).keys()
    finally:
        server.stop()
