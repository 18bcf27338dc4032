"""kill -9 under load: what was acknowledged is there, what is listed is whole, nothing piles up."""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.faults.playground import JSON, Got, get, lay_plain, lay_wheel, litter, rows, settings, sha256
from tests.formats.pypi.artefacts import wheel
from tests.running import Running, environment, reliquary, start
from tests.upstreams import Upstream, playing

CLIENTS = 4
"""Of each kind: publishers of plain files, of wheels, and askers of cold files."""


@dataclass
class Record:
    """What clients saw over all rounds: path to digest."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    attempted: dict[str, bytes] = field(default_factory=dict)
    served: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Round:
    """One life of the server under load."""

    server: Running
    upstream: Upstream
    record: Record
    number: int
    seed: int
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, seconds: float) -> None:
        """Load the server, kill it after a while, and let the clients see it."""
        kinds = (self.publish_plain, self.publish_wheels, self.fill)
        threads = [threading.Thread(target=kind, args=(client,)) for kind in kinds for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.server.kill()
        self.stop.set()
        for thread in threads:
            thread.join(30)

    def publish_plain(self, client: int) -> None:
        """PUT files of all sizes, one after the other."""
        chance = random.Random(f"{self.seed} {self.number} plain {client}")
        for count in range(10_000):
            data = chance.randbytes(chance.choice((10, 3_000, 300_000, 1_500_000)))
            if not self.put(f"/generic/main/k/{self.number}-{client}-{count}.bin", data):
                return

    def publish_wheels(self, client: int) -> None:
        """PUT releases of one project."""
        for count in range(10_000):
            name, version = f"p{self.number}x{client}", f"1.{count}"
            data = wheel(name, version, members={"data.bin": os.urandom(2000)})
            if not self.put(f"/pypi/main/{name}-{version}-py3-none-any.whl", data):
                return

    def put(self, path: str, data: bytes) -> bool:
        """PUT; whether the server still answers."""
        with self.record.lock:
            self.record.attempted[path] = data
        try:
            answer = self.server.put(path, data)
        except (OSError, http.client.HTTPException):
            return False
        if answer.status not in (200, 201):
            self.record.wrong.append(f"{path}: {answer.status} {answer.text[:100]}")
            return False
        with self.record.lock:
            self.record.acknowledged[path] = sha256(data)
            del self.record.attempted[path]  # hundreds of rounds do not fit in memory
        return not self.stop.is_set()

    def fill(self, client: int) -> None:
        """GET files that only the upstream has, and look at every byte."""
        chance = random.Random(f"{self.seed} {self.number} fill {client}")
        for count in range(10_000):
            lay = chance.choice((lay_plain, lay_wheel))
            shared = client // 2  # two clients share each fill
            data = random.Random(f"{self.seed} {self.number} {shared} {count}").randbytes(400_000)
            played = lay(self.upstream, f"k{self.number}x{shared}x{count}", data)
            self.upstream.fault(played.there, drip=4_000_000)
            try:
                got = get(self.server, played.here)
            except OSError:
                return
            if got.status == 200 and got.whole:
                self.record.served += 1
                if got.body != data:
                    self.record.wrong.append(f"{played.here}: other bytes")
            if self.stop.is_set() or got.status == 0:
                return


def listed_files(server: Running) -> Iterator[tuple[str, str]]:
    """Every file that any page lists, and the digest it names."""
    for name in ("local", "proxy"):
        for (key,) in rows(
            server,
            "SELECT DISTINCT packages.name FROM packages JOIN repositories ON repositories.id = packages.repository_id"
            " WHERE repositories.format = 'pypi' AND repositories.name = ?",
            name,
        ):
            page = f"/pypi/{name}/simple/{key}/"
            for file in json.loads(ok(get(server, page, {"Accept": JSON})).body)["files"]:
                yield urljoin(page, file["url"]), file["hashes"]["sha256"]
    for name in ("main", "local"):
        folder = ok(get(server, f"/generic/{name}/k/?format=json")).body
        for file in json.loads(folder)["files"]:
            yield f"/generic/{name}/k/{file['name']}", file["sha256"]


def ok(got: Got) -> Got:
    """The answer, which must be a whole 200."""
    assert (got.status, got.whole) == (200, True), got
    return got


def check(server: Running, record: Record, *, all_listed: bool) -> None:
    """What was acknowledged is there; what is listed is whole."""
    assert record.wrong == []
    for path, digest in record.acknowledged.items():
        if path.startswith("/pypi/"):
            filename = path.rpartition("/")[2]
            path = f"/pypi/main/files/{filename.partition('-')[0]}/{digest}/{filename}"
        assert sha256(ok(get(server, path)).body) == digest
    for blob, size in rows(
        server, "SELECT DISTINCT digest, blobs.size FROM blobs JOIN files ON files.blob = blobs.digest"
    ):
        found = server.data / "blobs" / "sha256" / blob[:2] / blob[2:4] / blob
        assert found.stat().st_size == size
    if all_listed:
        for path, digest in listed_files(server):
            assert sha256(ok(get(server, path)).body) == digest, path


def finish(server: Running, record: Record) -> None:
    """An upload that was cut can be repeated, whether or not it had arrived."""
    for path, data in record.attempted.items():
        assert server.put(path, data).status in (200, 201), path
        record.acknowledged[path] = sha256(data)


def verify(data: Path, config: str) -> None:
    """The program's own verification finds nothing."""
    command = [*reliquary(), "verify", "--data", str(data), "--config", config]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr


def kill_again_and_again(folder: Path, rounds: int, seed: int, seconds: float) -> None:
    """Kill the server on one data folder, ``rounds`` times or as often as ``seconds`` allow, then look at
    everything."""
    began = time.monotonic()
    print(f"seed {seed}")  # noqa: T201  # a failure is told with the seed that gives it again
    chance = random.Random(seed)
    record, data = Record(), folder / "var"
    everything: dict[str, str] = {}
    with playing() as upstream:
        config = settings(upstream)
        for number in range(rounds):
            if time.monotonic() - began > seconds:
                print(f"{number} rounds of {rounds} in {seconds:.0f} s")  # noqa: T201
                break
            server = start(data, config=config)
            try:
                if number:
                    check(server, record, all_listed=False)
                everything |= record.acknowledged
                record.acknowledged.clear()  # each round looks at the one before, the last look at all
                Round(server, upstream, record, number, seed).run(chance.uniform(0.05, 0.9))
            finally:
                server.kill()
            upstream.heal()
        server = start(data, config=config)
        try:
            record.acknowledged |= everything
            check(server, record, all_listed=True)
            finish(server, record)
            check(server, record, all_listed=True)
            assert record.served > 0 and record.acknowledged
        finally:
            server.stop()
        verify(data, str(folder / "var.toml"))
        age(data)
        server = start(data, config=config)
        server.stop()
        assert litter(data) == []


def age(data: Path) -> None:
    """Let a minute pass for what lies around."""
    past = time.time() - 60
    for path in litter(data):
        os.utime(path, (past, past))


def seed() -> int:
    """The seed of this run: the variable KILL_SEED, or a new one."""
    return int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(1_000_000)))


@pytest.mark.timeout(180)
def test_kills(tmp_path: Path) -> None:
    """Fifty kills, as far as half a minute goes."""
    kill_again_and_again(tmp_path, 50, seed(), 30)


@pytest.mark.matrix
@pytest.mark.timeout(600)
def test_many_kills(tmp_path: Path) -> None:
    """Five hundred kills, as far as the time goes; looking at everything takes its time too."""
    kill_again_and_again(tmp_path, 500, seed(), 150)
