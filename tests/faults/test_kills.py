"""kill -9 under load: what was acknowledged is there, what is listed is whole, nothing piles up."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.contracts.requests import indexed
from tests.faults.forks import Forked, Forks
from tests.faults.players import Item, Load, Record
from tests.faults.playground import JSON, Got, age, age_blobs, get, litter, rows, settings, sha256
from tests.running import Running, environment, spawn, start
from tests.upstreams import Upstream, playing

LIVES = 10
"""Rounds on one data folder; the next ones begin with a new one."""
AT_ONCE = 2
"""Data folders that are played on at a time."""
TWO = 20
"""One of so many rounds is played with two workers."""
LONGEST, MOST = 0.25, 20
"""Seconds of load before a kill, at most; every other time after a number of answers up to this."""
GRACE = 60
"""Seconds that an unnamed blob is left alone; between rounds all blobs become older."""
REPEATED = 12
"""Publishes that were cut and are repeated, on each data folder."""
OTHER = 30.0
"""Seconds that workers have to be there again."""


def ok(got: Got) -> Got:
    """The answer, which must be a whole 200."""
    assert (got.status, got.whole) == (200, True), got
    return got


def listed(server: Running, page: str) -> dict[str, str]:
    """What a page lists, addresses to digests; nothing where it is missing."""
    if page.startswith("/cargo/"):
        return archives(server, page)
    got = get(server, page, {"Accept": JSON})
    if got.status == 404:
        return {}
    base = page.partition("?")[0]
    return {
        urljoin(base, file.get("url", file.get("name"))): file.get("sha256") or file["hashes"]["sha256"]
        for file in json.loads(ok(got).body)["files"]
    }


def archives(server: Running, page: str) -> dict[str, str]:
    """The same of an index file of cargo."""
    got = get(server, page)
    lines = [] if got.status == 404 else [json.loads(line) for line in ok(got).body.splitlines()]
    root = "/".join(page.split("/")[:3])
    return {f"{root}/api/v1/crates/{line['name']}/{line['vers']}/download": line["cksum"] for line in lines}


def check(server: Running, record: Record, pages: Sequence[str]) -> None:
    """What was acknowledged is there and what was removed is not; what is listed is whole."""
    assert record.wrong == []
    for path, digest in record.there.items():
        assert sha256(ok(get(server, path)).body) == digest, path
    for path in record.gone:
        assert get(server, path).status == 404, path
    perhaps = {path: get(server, path) for path in record.perhaps}
    for path, got in perhaps.items():
        assert got.status == 404 or sha256(ok(got).body) == record.perhaps[path], path
    here = {path for path, got in perhaps.items() if got.status == 200} | record.there.keys()
    found: dict[str, str] = {}
    for page in pages:
        found |= listed(server, page)
    for path, digest in found.items():
        if path not in record.there:
            assert sha256(ok(get(server, path)).body) == digest, path
    hosted = {path for path in found if "/local/" in path}
    assert hosted == {path for path in here if _page_of(path) in pages}, "listed is what can be fetched"


def _page_of(path: str) -> str:
    """The page that lists a hosted file."""
    parts = path.split("/")
    if parts[1] == "cargo":
        return f"/cargo/local/{indexed(parts[6])}"
    return f"/pypi/local/simple/{parts[4]}/" if parts[1] == "pypi" else f"/generic/local/{parts[3]}/?format=json"


def pages_of(record: Record) -> list[str]:
    """Every page that lists what clients did."""
    hosted = {_page_of(path) for path in (*record.there, *record.perhaps, *record.gone)}
    proxied = {f"/pypi/proxy/simple/{each.here.split('/')[4]}/" for each in record.laid if "/pypi/" in each.here}
    crates = [each.here.split("/")[6] for each in record.laid if "/cargo/" in each.here]
    return sorted(hosted | proxied | {f"/cargo/proxy/{indexed(name)}" for name in crates})


def all_pages(server: Running) -> Iterator[str]:
    """Every page of projects and folders that the database knows."""
    for name, format, package in rows(
        server,
        "SELECT DISTINCT repositories.name, repositories.format, packages.name FROM packages"
        " JOIN repositories ON repositories.id = packages.repository_id WHERE repositories.kind != 'group'",
    ):
        if format == "pypi":
            yield f"/pypi/{name}/simple/{package}/"
        elif format == "cargo":
            yield f"/cargo/{name}/{indexed(package)}"
        elif name == "local":
            yield f"/generic/local/{package.partition('/')[0]}/?format=json"


def check_blobs(server: Running) -> None:
    """Every blob that a row names lies in the store."""
    for blob, size in rows(
        server, "SELECT DISTINCT digest, blobs.size FROM blobs JOIN files ON files.blob = blobs.digest"
    ):
        assert (server.data / "blobs" / "sha256" / blob[:2] / blob[2:4] / blob).stat().st_size == size


def repeat(server: Running, items: Sequence[Item]) -> None:
    """A publish that was cut can be repeated, whether or not it had arrived."""
    for item in items:
        # A second publish of a crate is refused, and says that it had arrived.
        again = (200, 409) if item.sent else (200, 201)
        assert server.put(item.put, item.sent or item.data).status in again, item.put
        assert ok(get(server, item.here)).body == item.data


def workers_of(server: Running) -> list[int]:
    """The worker processes of a server."""
    pid = server.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill(pids: Sequence[int]) -> None:
    """kill -9, and wait until they are dead."""
    ended = [os.pidfd_open(pid) for pid in pids]
    for each in ended:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(each, signal.SIGKILL)
    for each in ended:
        watch = select.poll()
        watch.register(each, select.POLLIN)
        assert watch.poll(OTHER * 1000), "a killed process does not end"
        os.close(each)


def kill_all(server: Running) -> None:
    """kill -9 the server and every worker, none of which is replaced meanwhile."""
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGSTOP)
        kill(workers_of(server))
    server.kill()


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do something in a thread meanwhile; its error is raised at the end."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        yield
        done.result()


@dataclass
class Playground:
    """A data folder and what clients know of it."""

    data: Path
    forks: Forks
    upstream: Upstream
    seed: str
    record: Record = field(default_factory=Record)
    last: Record = field(default_factory=Record)

    @property
    def _config(self) -> str:
        return settings(self.upstream, f"gc_grace = {GRACE}")

    def start(self, *, plain: bool = False, workers: int = 1) -> Running:
        """A server, forked or by the plain command."""
        config = f"workers = {workers}\n{self._config}"
        return start(self.data, config=config, by=spawn if plain else self.forks.spawn)

    def round(self, number: int) -> None:
        """Start a server, look at what the clients of the round before know, load it, kill it."""
        chance = random.Random(f"{self.seed} {number}")
        workers = 2 if number % TWO == 4 else 1
        server = self.start(workers=workers, plain=number % 25 == 0)
        load, sweep = Load(server, self.upstream, number, self.seed), None
        try:
            self._look(server)
            load.begin()
            if number % 2:
                load.going(1, OTHER)
                sweep = self._sweep()
                load.going(chance.randrange(2, MOST), OTHER)
            time.sleep(chance.uniform(0.02, LONGEST))
            if workers > 1:
                self._lose_workers(server, number)
                time.sleep(chance.uniform(0.02, LONGEST))
        finally:
            kill_all(server)
            if sweep is not None:
                sweep.send_signal(signal.SIGKILL)
                sweep.wait(OTHER)
            self.last = load.end()
            self.record.rounds += 1
        age(self.data)
        age_blobs(self.data, 2 * GRACE)

    def _look(self, server: Running) -> None:
        """What the last round left, by a server and by the verification beside it."""
        self.upstream.heal()
        with beside(lambda: self.forks.verify(self.data)):
            check(server, self.last, pages_of(self.last))
        self.record.add(self.last)

    def _sweep(self) -> Forked:
        """Garbage is collected meanwhile, and that is killed too unless it was quicker."""
        args = ["gc", "--data", str(self.data), "--config", str(self.data.parent / f"{self.data.name}.toml")]
        return self.forks.spawn(args, environment(), self.data.parent / "gc.out")

    def _lose_workers(self, server: Running, number: int) -> None:
        """Kill one of two workers, or both, or none."""
        victims = workers_of(server)[: (number // TWO + 1) % 3]
        kill(victims)
        deadline = time.monotonic() + OTHER
        while get(server, "/readyz").status != 200:
            assert time.monotonic() < deadline, "the workers are not replaced"
            time.sleep(0.05)

    def finish(self) -> None:
        """Look at everything that all rounds left."""
        server = self.start()
        try:
            self._look(server)
            check_blobs(server)
            check(server, self.record, sorted({*all_pages(server), *pages_of(self.record)}))
            repeat(server, self.record.cut[-REPEATED:])
        finally:
            server.stop()
        self.forks.verify(self.data)
        age(self.data)
        server = self.start()
        server.stop()
        assert litter(self.data) == []
        assert "Traceback" not in server.log.read_text()


def kill_again_and_again(folder: Path, forks: Forks, rounds: int, seed: str, seconds: float) -> None:
    """Kill servers, exactly ``rounds`` times; to take longer than ``seconds`` is to fail."""
    until = time.monotonic() + seconds
    print(f"KILL_SEED={seed}")  # noqa: T201  # a failure is told with the seed that gives it again

    def play(first: int) -> Record:
        data = folder / str(first) / "var"
        with playing() as upstream:
            ground = Playground(data, forks, upstream, seed)
            for number in range(first, min(first + LIVES, rounds)):
                assert time.monotonic() < until, f"round {number} of {rounds} was not begun in {seconds:.0f} s"
                ground.round(number)
            ground.finish()
        shutil.rmtree(data.parent)
        return ground.record

    total = Record()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        grounds = [pool.submit(play, first) for first in range(0, rounds, LIVES)]
        try:
            for done in as_completed(grounds):
                total.add(done.result())
        finally:
            pool.shutdown(cancel_futures=True)
    assert total.rounds == rounds
    assert total.served and total.removed and len(total.there) >= rounds, "the clients had hardly any answers"


def seed() -> str:
    """The seed of this run: the variable KILL_SEED, or a new one."""
    return os.environ.get("KILL_SEED") or str(random.SystemRandom().randrange(1_000_000))


@pytest.mark.timeout(400)
def test_fifty_kills(forks: Forks, tmp_path: Path) -> None:
    """Half a minute of an idle machine; a busy one may take ten times that."""
    kill_again_and_again(tmp_path, forks, 50, seed(), 300)


@pytest.mark.matrix
@pytest.mark.timeout(1600)
def test_five_hundred_kills(forks: Forks, tmp_path: Path) -> None:
    """Some minutes; a busy machine may take four times that."""
    kill_again_and_again(tmp_path, forks, 500, seed(), 1500)
