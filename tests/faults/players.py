"""Clients that load a server while it is killed, and the record of what it told them."""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urljoin

from tests.contracts.requests import indexed
from tests.faults.playground import JSON, Played, get, lay_crate, lay_plain, lay_wheel, sha256
from tests.formats.cargo.artefacts import body as framed
from tests.formats.cargo.artefacts import crate, told
from tests.formats.pypi.artefacts import wheel
from tests.running import Answer, Running
from tests.upstreams import Upstream

PUBLISHERS, FILLERS, REMOVERS = 2, 2, 2
PAUSE = 0.02
"""Seconds after which a client that was hung up on tries again."""
SIZES = (10, 3_000, 3_000, 300_000, 1_200_000)
POOL = [bytes([seed]) * 5000 for seed in range(6)]
"""What removers publish and remove over and over: the same blobs by many names."""


@dataclass(frozen=True)
class Item:
    """A file to publish: where it is put, where it is found; ``sent`` is what is put around its bytes."""

    put: str
    here: str
    data: bytes
    sent: bytes | None = None


def plain(folder: str, name: str, data: bytes) -> Item:
    """A file of the generic format."""
    path = f"/generic/local/{folder}/{name}.bin"
    return Item(path, path, data)


def release(name: str, version: str) -> Item:
    """A wheel."""
    data, filename = wheel(name, version, members={"data.bin": os.urandom(2000)}), f"{name}-{version}-py3-none-any.whl"
    return Item(f"/pypi/main/{filename}", f"/pypi/local/files/{name}/{sha256(data)}/{filename}", data)


def versioned(name: str, version: str) -> Item:
    """A crate, sent as cargo sends it."""
    data = crate(name, version, files={"data.bin": os.urandom(2000)})
    here = f"/cargo/local/api/v1/crates/{name}/{version}/download"
    return Item("/cargo/main/api/v1/crates/new", here, data, framed(told(name, version), data))


@dataclass
class Record:
    """What clients know. Paths to digests but for ``gone`` and ``cut``.

    Args:
        there: an answer said so.
        perhaps: nobody was told whether it came or went: whole or absent.
        gone: an answer said that it was removed.
        cut: what was put to where without an answer.
        laid: what was asked of the proxies.
        served: how many files of proxies came whole.
        removed: how many files were acknowledged to be gone.
        rounds: how often the server was killed for this.
        wrong: what must never be seen.
    """

    there: dict[str, str] = field(default_factory=dict)
    perhaps: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    cut: list[Item] = field(default_factory=list)
    laid: list[Played] = field(default_factory=list)
    served: int = 0
    removed: int = 0
    rounds: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Record) -> None:
        """Take in what another one says of other files."""
        self.there |= other.there
        self.perhaps |= other.perhaps
        self.gone |= other.gone
        self.cut += other.cut
        self.laid += other.laid
        self.served += other.served
        self.removed += other.removed
        self.rounds += other.rounds


@dataclass
class Load:
    """Clients of all kinds on one server, until they are told to stop. Files have the round's number
    in their names."""

    server: Running
    upstream: Upstream
    number: int
    seed: str
    record: Record = field(default_factory=Record)
    _stop: threading.Event = field(default_factory=threading.Event)
    _good: int = 0
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        """Start the clients."""
        publishers = [(kind, PUBLISHERS) for kind in (self._publish_plain, self._publish_wheels)]
        publishers.append((self._publish_crates, 1))
        kinds = [*publishers, (self._fill, FILLERS), (self._remove, REMOVERS), (self._read, 1)]
        self._threads = [
            threading.Thread(target=self._play, args=(kind, client)) for kind, count in kinds for client in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def going(self, answers: int, seconds: float) -> None:
        """Wait for so many good answers, at most so long: on a busy machine they take their time."""
        deadline = time.monotonic() + seconds
        while self._good < answers and time.monotonic() < deadline:
            time.sleep(PAUSE)

    def end(self) -> Record:
        """Let them end; what they saw."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"
        return self.record

    def _play(self, turn: Callable[[int, int, random.Random], bool], client: int) -> None:
        chance = random.Random(f"{self.seed} {self.number} {turn.__name__} {client}")
        count = 0
        while not self._stop.is_set():
            if turn(client, count, chance):
                self._good += 1
            else:
                time.sleep(PAUSE)
            count += 1

    def _tell(self, answer: Answer | None, path: str, *good: int) -> bool:
        """Whether the answer is a good one; another one than none or a good one is wrong."""
        if answer is not None and answer.status not in good:
            self.record.wrong.append(f"{path}: {answer.status} {answer.text[:200]}")
        return answer is not None and answer.status in good

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Answer | None:
        try:
            return self.server.ask(path, method=method, body=body, token=self.server.token)
        except (OSError, http.client.HTTPException):
            return None

    def _put(self, item: Item) -> bool:
        """Publish; whether that was acknowledged."""
        digest = sha256(item.data)
        self.record.perhaps[item.here] = digest
        if self._tell(self._ask("PUT", item.put, item.sent or item.data), item.put, 200, 201):
            self.record.there[item.here] = digest
            del self.record.perhaps[item.here]
            return True
        self.record.cut.append(item)
        return False

    def _publish_plain(self, client: int, count: int, chance: random.Random) -> bool:
        return self._put(plain(f"k{self.number}", f"{client}-{count}", chance.randbytes(chance.choice(SIZES))))

    def _publish_wheels(self, client: int, count: int, _: random.Random) -> bool:
        return self._put(release(f"p{self.number}x{client}", f"1.{count}"))

    def _publish_crates(self, client: int, count: int, _: random.Random) -> bool:
        return self._put(versioned(f"p{self.number}x{client}", f"1.{count}.0"))

    def _remove(self, client: int, count: int, chance: random.Random) -> bool:
        """Publish and remove: plain files, every third time a release."""
        if count % 3:
            item = plain(f"r{self.number}", f"{client}-{count}", chance.choice(POOL))
        else:
            item = release(f"r{self.number}x{client}", f"1.{count}")
        if not self._put(item):
            return False
        self.record.perhaps[item.here] = self.record.there.pop(item.here)
        if not self._tell(self._ask("DELETE", item.here), item.here, 204, 200):
            return False
        del self.record.perhaps[item.here]
        self.record.gone.add(item.here)
        self.record.removed += 1
        return True

    def _fill(self, client: int, count: int, chance: random.Random) -> bool:
        """Ask for files that only the upstream has, and look at every byte; two clients share each."""
        shared = client // 2
        lay = (lay_plain, lay_wheel, lay_crate)[count % 3]
        data = random.Random(f"{self.seed} {self.number} {shared} {count}").randbytes(200_000)
        played = lay(self.upstream, f"k{self.number}x{shared}x{count}", data)
        self.upstream.fault(played.there, drip=4_000_000)
        self.record.laid.append(played)
        got = get(self.server, played.here)
        if got.status == 200 and got.whole:
            self.record.served += 1
            if got.body != data:
                self.record.wrong.append(f"{played.here}: other bytes")
        elif got.status not in (0, 200):
            self.record.wrong.append(f"{played.here}: {got.status} {got.body[:200]!r}")
        return got.status == 200

    def _read(self, client: int, count: int, chance: random.Random) -> bool:
        """Look at a project that grows: what its page lists is there."""
        if chance.random() < 0.3:
            return self._read_index(f"p{self.number}x{client}")
        page = f"/pypi/main/simple/p{self.number}x{client}/"
        got = get(self.server, page, {"Accept": JSON})
        if got.status != 200 or not got.whole:
            return False
        for file in json.loads(got.body)["files"][-2:]:
            found = get(self.server, urljoin(page, file["url"]))
            if found.status and found.whole and sha256(found.body) != file["hashes"]["sha256"]:
                self.record.wrong.append(f"{file['url']}: listed, and {found.status}")
        return True

    def _read_index(self, name: str) -> bool:
        """Look at a crate that grows."""
        got = get(self.server, f"/cargo/main/{indexed(name)}")
        if got.status != 200 or not got.whole:
            return False
        for line in map(json.loads, got.body.splitlines()[-2:]):
            found = get(self.server, f"/cargo/main/api/v1/crates/{name}/{line['vers']}/download")
            if found.status and found.whole and sha256(found.body) != line["cksum"]:
                self.record.wrong.append(f"{name} {line['vers']}: listed, and {found.status}")
        return True
