"""Index files of crates, warm, beside nginx with the same bytes; and hosted crates beside another registry."""

from __future__ import annotations

import json
import random
import statistics
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.formats.cargo import artefacts
from tests.running import Running, running
from tests.upstreams import playing

from benchmarks import cargo_peer, static
from benchmarks.cargo_peer import Side
from benchmarks.load import CONNECTIONS, rate
from benchmarks.peers import fetch, seconds_of
from benchmarks.reads import Case, Target, warm
from benchmarks.results import Row, at_least, beside, columns, spread, turns
from benchmarks.static import Static

PART = f"cargo, index files beside nginx, {CONNECTIONS} connections"
HOSTED = f"cargo beside {cargo_peer.NAME.capitalize()}, hosted crates, {CONNECTIONS} connections"
UNIT, COST = "answers/s", "CPU s/1000 answers"
ASKED = {"Accept": "text/plain", "Accept-Encoding": "deflate, gzip", "cargo-protocol": "version=1"}
"""What cargo says when it asks for an index file (cargo.md, section 1)."""
ASKED_PLAIN = ASKED | {"Accept-Encoding": "identity"}
MADE = {"small": 10, "large": 300}
"""Made-up crates, and how many versions they have."""
SHARE, PUBLISHED, BYTES = 0.40, 50, 20_000
"""The least share of nginx; crates that are published to each side; about how large their archives are."""


def measure(folder: Path, seconds: float, rounds: int) -> Iterator[Row]:
    """Everything; without nginx or the other registry where they cannot be had."""
    yield from index(folder / "index", seconds, rounds)
    yield from hosted(folder / "hosted", seconds, rounds)


# --- proxied crates, warm ---


def index(folder: Path, seconds: float, rounds: int) -> Iterator[Row]:
    """Each index file, what every client asks for first, and 304."""
    program = static.nginx()
    with ExitStack() as stack:
        upstream = stack.enter_context(playing())
        said = {"dl": f"{upstream.url}crates", "api": upstream.url.rstrip("/")}
        upstream.put("/config.json", json.dumps(said).encode(), content_type="application/json")
        for name, count in MADE.items():
            upstream.put(f"/{path_of(name)}", lines(name, count), content_type="text/plain")
        config = f'upstreams = {{ cargo = "{upstream.url}" }}\n'
        server = stack.enter_context(running(folder / "var", config=config))
        other = stack.enter_context(static.serving(program, folder / "nginx")) if program else None
        if other is None:
            print("left out: nginx is not installed", file=sys.stderr)
        for page in pages():
            yield from beside_nginx(server, other, page, seconds, rounds)
        yield from not_modified(server, seconds, rounds)


def pages() -> Iterator[Case]:
    """What is asked for."""
    for name, count in MADE.items():
        yield Case(f"index file of {count} versions, gzip", f"/cargo/main/{path_of(name)}", ASKED, SHARE)
    yield Case("config.json", "/cargo/main/config.json", {"Accept-Encoding": ASKED["Accept-Encoding"]})


def beside_nginx(server: Running, other: Static | None, page: Case, seconds: float, rounds: int) -> Iterator[Row]:
    """The rate of one of them, and its processor time, which others on this machine disturb less."""
    answer = warm(server, page)
    mine = Target(server.url + page.path[1:], page.headers, seconds, server.process.pid)
    title = f"{page.title} ({len(answer.body)} bytes)"
    if other is None:
        yield Row(PART, title, UNIT, statistics.median(columns(rounds, mine)[0]))
        yield Row(PART, f"{title}, processor", COST, mine.cost)
        return
    name = page.path.rpartition("/")[2]
    (other.root / name).write_bytes(answer.body)
    theirs = Target(other.url + name, page.headers, seconds, other.pid)
    taken = columns(rounds, mine, theirs)
    medians = (statistics.median(taken[0]), statistics.median(taken[1]))
    if page.goal is None:
        row = beside(PART, title, UNIT, *medians, "nginx")
    else:
        row = at_least(PART, title, UNIT, *medians, "nginx", page.goal)
    yield spread(row, *taken)
    yield beside(PART, f"{title}, processor", COST, mine.cost, theirs.cost, "nginx")


def not_modified(server: Running, seconds: float, rounds: int) -> Iterator[Row]:
    """304, which is to cost no more than the index file itself."""
    page = next(pages())
    known = dict(page.headers) | {"If-None-Match": warm(server, page).header("etag") or ""}
    if server.ask(page.path, headers=known).status != 304:
        raise RuntimeError("the validator of the index file was not known again")
    url, pid, title, name = server.url + page.path[1:], server.process.pid, "not modified (304)", "our small index file"
    mine, theirs = Target(url, known, seconds, pid), Target(url, page.headers, seconds, pid)
    taken = columns(rounds, mine, theirs)
    medians = (statistics.median(taken[0]), statistics.median(taken[1]))
    yield spread(at_least(PART, title, UNIT, *medians, name, 1), *taken)
    yield beside(PART, f"{title}, processor", COST, mine.cost, theirs.cost, name)


def path_of(name: str) -> str:
    """Where the index file of a name of four characters or more is, below the index."""
    return f"{name[:2]}/{name[2:4]}/{name}"


def lines(name: str, count: int) -> bytes:
    """The index file of a made-up crate: some 1,100 bytes a version, of which what differs from version to version is
    what differs in real ones (the digest, the date, a few requirements), since that decides how small gzip makes it."""
    return b"".join(json.dumps(line(name, at), separators=(",", ":")).encode() + b"\n" for at in range(count))


def line(name: str, at: int) -> dict[str, object]:
    """One version of it."""
    chance = random.Random(f"{name}{at}")
    kinds = ("normal",) * 6 + ("dev", "build")
    return artefacts.line(
        name,
        f"1.{at}.0",
        chance.randbytes(32).hex(),
        deps=[requirement(f"{name}-part-{number}", kind, chance) for number, kind in enumerate(kinds)],
        features={"default": ["std"], "std": [], "full": [f"part-{number}" for number in range(4)]},
        rust_version=f"1.{60 + at // 20}",
        pubtime=f"20{10 + at // 28:02}-02-{at % 28 + 1:02}T12:{chance.randrange(60):02}:{chance.randrange(60):02}Z",
    )


def requirement(name: str, kind: str, chance: random.Random) -> dict[str, object]:
    """A dependency as index lines have it."""
    optional = kind == "normal" and name.endswith(("2", "3"))
    target = "cfg(windows)" if name.endswith("5") else None
    return {
        "name": name,
        "req": f"^1.{chance.randrange(4)}",
        "features": ["std"] if optional else [],
        "optional": optional,
        "default_features": not optional,
        "target": target,
        "kind": kind,
    }


# --- hosted crates ---


@dataclass(frozen=True)
class Crate:
    """A crate that is published."""

    name: str
    archive: bytes
    version: str = "1.0.0"

    @property
    def body(self) -> bytes:
        """What cargo sends."""
        return artefacts.body(artefacts.told(self.name, self.version), self.archive)


def hosted(folder: Path, seconds: float, rounds: int) -> Iterator[Row]:
    """The same crates published to every side, then read from there."""
    crates = [made(at) for at in range(PUBLISHED)]
    folder.mkdir(parents=True)
    program = cargo_peer.provide()
    with ExitStack() as stack:
        server = stack.enter_context(running(folder / "var", config='upstreams = { cargo = "none", go = "none" }\n'))
        sides = [cargo_peer.side("reliquary", f"{server.url}cargo/local/", server.token)]
        if program is not None:
            sides.append(stack.enter_context(cargo_peer.kellnr(program, folder / cargo_peer.NAME)))
        yield from published(sides, crates)
        yield from read(sides, crates, seconds, rounds)


def made(at: int) -> Crate:
    """A crate whose archive is about as large as most are."""
    name = f"made-up-{at}"
    noise = random.Random(at).randbytes(BYTES)
    return Crate(name, artefacts.crate(name, "1.0.0", files={"data.bin": noise}))


def published(sides: Sequence[Side], crates: Sequence[Crate]) -> Iterator[Row]:
    """Crates a second, one after the other as a workspace is published, the sides in turn."""
    taken: dict[str, list[float]] = {side.name: [] for side in sides}
    for side in turns(len(crates), sides):
        crate = crates[len(taken[side.name])]
        taken[side.name].append(seconds_of(partial(publish, side, crate)))
    yield from rows(f"publish, {len(crates)} crates", "crates/s", [[len(each) / sum(each)] for each in taken.values()])


def publish(side: Side, crate: Crate) -> None:
    """Send a crate as cargo does; raises RuntimeError when it is not taken."""
    address = f"{side.api}/new"
    headers = {"Authorization": side.token, "Accept": "application/json", "Content-Type": "application/octet-stream"}
    request = urllib.request.Request(address, crate.body, headers, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{side.name} answered {crate.name} with {error.code}: {error.read()[:200]!r}") from error
    # cargo takes any answer with this member for a failure, whatever its status.
    if "errors" in said:
        raise RuntimeError(f"{side.name} did not take {crate.name}: {said['errors']}")


def read(sides: Sequence[Side], crates: Sequence[Crate], seconds: float, rounds: int) -> Iterator[Row]:
    """The index file and the archive of one of them; raises RuntimeError when a side has other ones."""
    crate = crates[0]
    for side in sides:
        if json.loads(fetch(side.index_file(crate.name), ASKED_PLAIN))["cksum"] != artefacts.checksum(crate.archive):
            raise RuntimeError(f"the index of {side.name} has another checksum than was published")
        if fetch(side.archive(crate.name, crate.version)) != crate.archive:
            raise RuntimeError(f"{side.name} does not have the archive that was published")
    asks = [partial(rate, side.index_file(crate.name), ASKED, seconds) for side in sides]
    yield from rows("index file of a hosted crate", UNIT, columns(rounds, *asks))
    asks = [partial(rate, side.archive(crate.name, crate.version), {}, seconds) for side in sides]
    yield from rows(f"archive of a hosted crate ({len(crate.archive)} bytes)", UNIT, columns(rounds, *asks))


def rows(title: str, unit: str, taken: Sequence[Sequence[float]]) -> Iterator[Row]:
    """Our figures, and those of the other registry where there is one."""
    mine, *others = taken
    if not others:
        yield Row(HOSTED, title, unit, statistics.median(mine))
    for other in others:
        medians = (statistics.median(mine), statistics.median(other))
        yield spread(beside(HOSTED, title, unit, *medians, cargo_peer.NAME), mine, other)
