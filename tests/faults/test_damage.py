"""Damage: bytes lost or flipped on the disk, a read-only disk, no file descriptors, a clock set back."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import resource
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reliquary.app import World, open_world
from reliquary.catalog.database import Database
from reliquary.catalog.tables import Base
from reliquary.cli import init
from reliquary.errors import CannotTell
from reliquary.formats.base import Call, FileKey, PageKey
from reliquary.jobs.calls import InsideIncoming, run
from reliquary.repositories.base import Flowing, Repository, Stored
from reliquary.repositories.build import Estate, build
from reliquary.repositories.hosted import Hosted
from reliquary.repositories.hot import HotMap
from reliquary.repositories.proxy import Proxy
from reliquary.settings import load
from reliquary.web.conditions import stamp
from tests.faults.playground import (
    blobs,
    get,
    lay_plain,
    lay_wheel,
    litter,
    noise,
    rows,
    settings,
    settle,
    sha256,
    stored,
    wheel_name,
)
from tests.faults.test_stop import read_only, small_disk
from tests.formats.pypi.artefacts import wheel
from tests.running import Running, basic, environment, reliquary, running
from tests.upstreams import Upstream

SIZE = 300_000


def place(server: Running, blob: str) -> Path:
    """Where a blob lies."""
    return server.data / "blobs" / "sha256" / blob[:2] / blob[2:4] / blob


def flip(server: Running, blob: str) -> None:
    """Change one byte of a stored blob, and nothing of its size."""
    path = place(server, blob)
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def verify(server: Running, *flags: str) -> tuple[int, list[dict[str, str]], str]:
    """Exit code, damage and words of a verification beside the server."""
    command = [*reliquary(), "verify", *flags, "--data", str(server.data)]
    command += ["--config", str(server.data.parent / "var.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment())
    assert "Traceback" not in done.stderr, done.stderr
    found = json.loads(done.stdout)["damage"] if "--json" in flags else []
    return done.returncode, found, done.stdout


def test_a_repair_makes_proxies_fetch_again_what_is_damaged(upstream: Upstream, tmp_path: Path) -> None:
    packed = lay_wheel(upstream, "flips", noise(SIZE, "flips"))
    plain = lay_plain(upstream, "flips", noise(SIZE, "plain"))
    lost = lay_plain(upstream, "lost", noise(SIZE, "lost"))
    with running(tmp_path / "var", config=settings(upstream)) as server:
        for each in (packed, plain, lost):
            assert get(server, each.here).body == each.data
        flip(server, sha256(packed.data))
        flip(server, sha256(plain.data))
        place(server, sha256(lost.data)).unlink()
        code, found, _ = verify(server, "--json")
        assert (code, {each["blob"] for each in found}) == (1, {sha256(e.data) for e in (packed, plain, lost)})
        code, found, _ = verify(server, "--repair", "--json")
        assert (code, len(found)) == (0, 3)
        for each in (packed, plain, lost):
            assert stored(server, each.here, arriving=False) is None
            assert sha256(each.data) not in blobs(server.data)
            got = get(server, each.here)
            assert (got.status, got.body) == (200, each.data)
            assert stored(server, each.here) == sha256(each.data)
        assert verify(server, "--json")[:2] == (0, [])


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_a_kept_page_that_is_damaged_is_fetched_again(upstream: Upstream, tmp_path: Path, harm: str) -> None:
    played = lay_wheel(upstream, f"kept-{harm}", noise(SIZE, harm))
    page = played.here.rpartition("/files/")[0] + f"/simple/kept-{harm}/"
    with running(tmp_path / "var", config=settings(upstream)) as server:
        assert get(server, page).status == 200
        ((blob,),) = rows(server, "SELECT body FROM upstream_states WHERE path = ?", f"simple/kept-{harm}/")
    with running(tmp_path / "var", config=settings(upstream)) as server:  # that remembers nothing
        if harm == "flipped":
            flip(server, blob)
        elif harm == "cut":
            place(server, blob).write_bytes(place(server, blob).read_bytes()[:-3])
        else:
            place(server, blob).unlink()
        got = get(server, played.here)
        assert (got.status, got.body) == (200, played.data)
        assert get(server, page).status == 200
        assert sha256(place(server, blob).read_bytes()) == blob, "and it is whole again"


def test_a_repair_renders_damaged_pages_again(tmp_path: Path) -> None:
    config = 'upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }\n'
    path = "/pypi/local/simple/paged/"
    with running(tmp_path / "var", config=config) as server:
        assert server.put(f"/pypi/local/{wheel_name('paged')}", wheel("paged")).status == 201
        good = get(server, path).body
        ((blob,),) = rows(server, "SELECT blob FROM pages WHERE path = 'simple/paged/' AND coding = 'identity'")
        flip(server, blob)
        assert verify(server, "--repair")[0] == 0
    with running(tmp_path / "var", config=config) as server:
        assert get(server, path).body == good
        assert verify(server)[0] == 0


def test_a_repair_reports_hosted_files_and_publishing_again_mends_them(upstream: Upstream, tmp_path: Path) -> None:
    """The same bytes lie in a proxy too: they are not fetched again into the damaged place."""
    data = noise(SIZE, "ours")
    both = lay_plain(upstream, "both", data)
    with running(tmp_path / "var", config=settings(upstream)) as server:
        assert server.put("/generic/local/ours.bin", data).status == 201
        assert server.put("/generic/local/lost.bin", b"l" * 500).status == 201
        assert get(server, both.here).body == data
        flip(server, sha256(data))
        place(server, sha256(b"l" * 500)).unlink()
        code, _, words = verify(server, "--repair")
        assert code == 1
        assert "generic/local ours.bin" in words and "generic/local lost.bin" in words
        assert "publish it again or restore a backup" in words
        for path in ("/generic/local/ours.bin", "/generic/local/lost.bin"):
            assert get(server, path).status == 503, "wrong bytes are not served"
        assert (server.data / "damaged" / sha256(data)).stat().st_size == SIZE, "nobody else has them"
        assert server.put("/generic/local/ours.bin", data).status in (200, 201)
        assert server.put("/generic/local/lost.bin", b"l" * 500).status in (200, 201)
        for path, body in (("/generic/local/ours.bin", data), ("/generic/local/lost.bin", b"l" * 500)):
            assert get(server, path).body == body
        assert get(server, both.here).body == data
        assert verify(server, "--json")[:2] == (0, [])


def verified(server: Running, **job: object) -> list[str]:
    """Have a verification done through the API; what it says of damage."""
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"kind": "verify", **job}).encode()
    made = server.ask("/api/v1/jobs", method="POST", headers=headers, body=body, token=server.token)
    assert made.status == 202, made.body
    place, deadline = made.header("location"), time.monotonic() + 30
    assert place is not None
    while (shown := json.loads(server.ask(place, token=server.token).body))["state"] != "done":
        assert shown["state"] in ("queued", "running") and time.monotonic() < deadline, shown
        time.sleep(0.1)
    damaged: list[str] = shown["outcome"]["damaged"]
    return damaged


@pytest.mark.parametrize("workers", [1, 2])
def test_a_repair_through_the_api_is_seen_at_once(upstream: Upstream, tmp_path: Path, workers: int) -> None:
    """By the worker that did it too, which may have had the answers at hand."""
    plain, ours = lay_plain(upstream, "flips", noise(SIZE, "flips")), noise(SIZE, "ours")
    with running(tmp_path / "var", config=settings(upstream, f"workers = {workers}")) as server:
        assert server.put("/generic/local/ours.bin", ours).status == 201
        for _ in range(6):
            assert get(server, plain.here).body == plain.data
            assert get(server, "/generic/local/ours.bin").body == ours
        for data in (plain.data, ours):
            flip(server, sha256(data))
        assert len(verified(server)) == 2
        assert sha256(plain.data) in blobs(server.data), "nothing was taken away"
        (mended, lost) = sorted(verified(server, repair=True))
        assert "generic/local ours.bin" in lost + mended and "generic/proxy flips.bin" in lost + mended
        for _ in range(6):
            got = get(server, plain.here)
            assert (got.status, got.body) == (200, plain.data)
            assert get(server, "/generic/local/ours.bin").status == 503
        assert server.put("/generic/local/ours.bin", ours).status in (200, 201)
        assert get(server, "/generic/local/ours.bin").body == ours
        assert verified(server, repair=True) == []


def test_a_read_only_disk_serves_on_and_refuses_publishes(upstream: Upstream, tmp_path: Path) -> None:
    """What the server opened before stays writable, as its log; what it makes anew is refused."""
    cold = lay_plain(upstream, "cold", noise(SIZE, "cold"))
    with small_disk(tmp_path / "disk", "64m") as disk, running(disk / "var", config=settings(upstream)) as server:
        data = wheel("here")
        assert server.put(f"/pypi/local/{wheel_name('here')}", data).status == 201
        assert server.put("/generic/local/here.bin", b"x" * 5000).status == 201
        page = get(server, "/pypi/local/simple/here/")
        with read_only(disk):
            for _ in range(2):
                assert get(server, "/generic/local/here.bin").body == b"x" * 5000
                assert get(server, "/pypi/local/simple/here/").body == page.body
                assert get(server, f"/pypi/local/files/here/{sha256(data)}/{wheel_name('here')}").body == data
            refused = server.put("/generic/local/new.bin", b"new")
            assert (refused.status, refused.header("retry-after") is not None) == (503, True)
            assert "read-only" in refused.text.lower()
            assert server.put(f"/pypi/local/{wheel_name('new')}", wheel("new")).status == 503
            assert get(server, cold.here).status == 503
            assert get(server, "/generic/local/new.bin").status == 404
        assert server.put("/generic/local/new.bin", b"new").status == 201
        assert get(server, cold.here).body == cold.data
        assert "unexpected" not in server.log.read_text()
        assert settle(server.data) == []


@pytest.mark.anyio
async def test_a_database_on_a_read_only_disk_is_a_clear_refusal(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "16m") as disk:
        url = f"sqlite:///{disk / 'reliquary.db'}"
        made = Database(url)
        async with made.writing() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await made.close()
        with read_only(disk):
            database = Database(url)
            try:
                with pytest.raises(CannotTell):
                    async with database.writing() as connection:
                        await connection.exec_driver_sql("DELETE FROM files")
            finally:
                await database.close()


def descriptors(server: Running) -> int:
    """How many files the server has open."""
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def test_without_descriptors_answers_are_503_until_there_are_some(upstream: Upstream, tmp_path: Path) -> None:
    played = lay_plain(upstream, "kept", noise(SIZE, "kept"))
    cold = lay_plain(upstream, "cold", noise(SIZE, "cold"))
    with running(tmp_path / "var", config=settings(upstream)) as server:
        assert server.put("/generic/local/here.bin", noise(SIZE, "here")).status == 201
        assert get(server, played.here).body == played.data
        assert stored(server, played.here) == sha256(played.data) and settle(server.data) == []
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        token = {"Authorization": basic("__token__", server.token)}

        def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
            connection.request(method, path, body=body, headers=token)
            response = connection.getresponse()
            return response.status, response.read()

        assert ask("GET", "/healthz")[0] == 200
        pid = server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            for _ in range(3):
                assert ask("GET", "/generic/local/here.bin")[0] == 503
                assert ask("GET", played.here)[0] == 503
                assert ask("GET", cold.here)[0] == 503
                assert ask("PUT", "/generic/local/new.bin", noise(SIZE, "new"))[0] == 503
                assert ask("GET", "/healthz")[0] == 200
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        open_now = descriptors(server)
        assert ask("GET", "/generic/local/here.bin") == (200, noise(SIZE, "here"))
        assert ask("GET", played.here) == (200, played.data)
        assert ask("PUT", "/generic/local/new.bin", noise(SIZE, "new"))[0] == 201
        connection.close()
        assert get(server, "/generic/local/new.bin").body == noise(SIZE, "new")
        assert stored(server, played.here) == sha256(played.data), "nothing was forgotten for it"
        assert descriptors(server) <= open_now + 10, "none leaks"
        assert settle(server.data) == [] == litter(server.data)
        assert verify(server)[0] == 0


def cpu(pid: int) -> float:
    """Seconds of processor time that a process used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_more_idle_connections_than_descriptors_end_no_server(tmp_path: Path) -> None:
    """What cannot be accepted is hung up on; the loop does not spin over it, and all is well when they leave."""
    with running(
        tmp_path / "var", config='upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }\n'
    ) as server:
        assert server.put("/generic/local/here.bin", b"here").status == 201
        pid, have = server.process.pid, descriptors(server)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (have + 10, before[1]))
        with ExitStack() as stack:
            idle = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(100)]
            deadline = time.monotonic() + 10
            while descriptors(server) < have + 10 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert descriptors(server) == have + 10, "all are taken"
            used = cpu(pid)
            time.sleep(1.5)
            assert cpu(pid) - used < 0.5, "the server spins"
            idle[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle[0].recv(1000).startswith(b"HTTP/1.1 200 "), "those who are in are served"
        deadline = time.monotonic() + 10
        while get(server, "/generic/local/here.bin").status != 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert get(server, "/generic/local/here.bin").body == b"here"
        assert server.put("/generic/local/new.bin", b"new").status == 201
        assert descriptors(server) < have + 10, "none leaks"
        assert "Traceback" not in server.log.read_text()


@dataclass
class Clock:
    """A time that a test sets."""

    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.time


@asynccontextmanager
async def opened(data: Path, text: str) -> AsyncIterator[World]:
    """A data folder with the repositories of a settings file."""
    config = data.parent / "clock.toml"
    config.write_text(text)
    given = load(config, {}, data=data)
    await init.prepare(given, {})
    world = await open_world(given)
    try:
        yield world
    finally:
        await world.close()


async def estate_of(world: World, clock: Clock) -> Estate:
    """The repositories under a clock of ours, remembering nothing, as after a restart."""
    context = replace(world.base, now=clock, hot=HotMap(0))
    return build(await context.catalog.repositories.all(), world.formats, context, world.dialer.dial)


async def publish(repository: Repository, path: str, data: bytes) -> None:
    """PUT from inside."""
    call = repository.format.match("PUT", (path,), {})
    assert isinstance(call, Call)
    await run(repository, call, InsideIncoming("PUT", (path,), data))


OVER = """
upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }
reserve = 0
[[repositories]]
format = "generic"
name = "over"
kind = "hosted"
overwrite = true
"""


@pytest.mark.anyio
async def test_dates_never_go_back_with_the_clock(tmp_path: Path) -> None:
    async with opened(tmp_path / "var", OVER) as world:
        clock = Clock()
        first = clock.time
        repository = (await estate_of(world, clock)).get("generic", "over")
        assert isinstance(repository, Hosted)
        file, page = FileKey("a.bin", "", "a.bin"), PageKey("", "", children="")
        await publish(repository, "a.bin", b"old")
        before = await repository.page(page, "application/json", ("identity",))
        clock.time = first - timedelta(days=2)
        await publish(repository, "a.bin", b"new and longer")
        hit = await repository.file(file)
        assert isinstance(hit, Stored)
        assert (hit.size, hit.modified) == (14, first), "other bytes, and no earlier date"
        shown = await repository.page(page, "application/json", ("identity",))
        assert shown.body is not None and b'"size":14' in shown.body
        assert shown.modified >= before.modified
        for modified in (hit.modified, shown.modified):
            assert stamp(modified, clock.time) <= clock.time, "what is sent is not in the future"


@pytest.mark.anyio
async def test_freshness_ends_though_the_clock_was_set_back(upstream: Upstream, tmp_path: Path) -> None:
    """What was checked in the future is of unknown age: the upstream is asked, once."""
    played = lay_plain(upstream, "clocked", b"one")
    lay_wheel(upstream, "clocked", b"w" * 10)
    key, page = FileKey("clocked.bin", "", "clocked.bin"), PageKey("simple/clocked/", "clocked", "clocked")
    async with opened(tmp_path / "var", settings(upstream)) as world:
        clock = Clock()
        for expected, back in ((1, 0), (2, 30), (2, 0)):
            clock.time -= timedelta(days=back)
            estate = await estate_of(world, clock)
            files, simple = estate.get("generic", "proxy"), estate.get("pypi", "proxy")
            assert isinstance(files, Proxy) and isinstance(simple, Proxy)
            found = await files.file(key)
            if isinstance(found, Flowing):
                await found.fill.wait()
            await simple.settle(page)
            await asyncio.gather(*world.base.tasks)
            assert upstream.hits(played.there) == expected
            assert upstream.hits("/simple/clocked/") == expected
