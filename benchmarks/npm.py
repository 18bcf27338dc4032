"""Packuments and tarballs of npm, warm, beside Verdaccio before the same upstream; and what publishing costs."""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tests.clients.npm.samples import Sample
from tests.running import Running, running

from benchmarks import npm_origin, npm_peer
from benchmarks.load import CONNECTIONS, rate
from benchmarks.npm_peer import Side
from benchmarks.results import Row, at_least, at_most, columns, spread, turns

PART = f"npm beside Verdaccio, warm, {CONNECTIONS} connections"
UNIT = "answers/s"
FULL = {"Accept": "application/json", "Accept-Encoding": "gzip"}
SYNTHETIC = {"small": 10, "middle": 200, "large": 2000}
"""Made-up packages, and how many versions they have."""
BIG = ("firebase", "next", "typescript", "@types/node")
"""Well-known packages with many versions; the largest that the upstream of this machine has is measured."""
SLOW, LEAST, MOST = 0.03, 8, 64
"""Seconds of one answer from which a server is asked a number of times, instead of for a time; how often."""
FEW, MANY, TIMES = 10, 2000, 15
"""Versions that there are before publishing is measured, and how many are published then."""


@dataclass(frozen=True)
class Case:
    """One thing that is asked of every side; ``goal`` is how many times Verdaccio's rate is wanted."""

    title: str
    path: str
    goal: float
    headers: Mapping[str, str]
    conditional: bool = False


def measure(folder: Path, seconds: float, rounds: int) -> Iterator[Row]:
    """Everything; without Verdaccio where it cannot be installed, without a real packument where none can be had."""
    documents = folder / "documents"
    documents.mkdir(parents=True)
    for name, count in SYNTHETIC.items():
        npm_origin.path_of(documents, name).write_bytes(npm_origin.packument(name, count))
    cases = [*made(), *real(documents)]
    with ExitStack() as stack:
        upstream = stack.enter_context(npm_origin.serving(documents))
        server = stack.enter_context(running(folder / "var", config=config(upstream)))
        sides = [Side("reliquary", f"{server.url}npm/main/"), *others(stack, folder, upstream)]
        for case in cases:
            yield from compared(case, sides, seconds, rounds)
    with running(folder / "own", config=config("none")) as server:
        yield published(server)


def config(upstream: str) -> str:
    """Settings of a server before the upstream."""
    return f'upstreams = {{ npm = "{upstream}" }}\n'


def others(stack: ExitStack, folder: Path, upstream: str) -> Iterator[Side]:
    """Verdaccio, where it can be had."""
    program = npm_peer.provide()
    if program is None:
        print("left out: verdaccio cannot be installed", file=sys.stderr)
    else:
        yield stack.enter_context(npm_peer.verdaccio(program, folder / "verdaccio", upstream))


def made() -> Iterator[Case]:
    """What is asked about made-up packages; a 304 of a larger one than the middle would cost Verdaccio more."""
    for (name, count), goal in zip(SYNTHETIC.items(), (15.0, 50.0, 200.0), strict=True):
        yield Case(f"packument of {count} versions", name, goal, FULL)
    yield Case(f"not modified (304), {SYNTHETIC['middle']} versions", "middle", 100.0, FULL, conditional=True)
    yield Case("small tarball", "small/-/small-1.9.0.tgz", 10.0, {"Accept-Encoding": "gzip"})


def real(documents: Path) -> Iterator[Case]:
    """The largest real packument; nothing where there is no upstream."""
    base = npm_peer.direct()
    found = {name: body for name in BIG if base and (body := had(base + name.replace("/", "%2f")))}
    if not found:
        print("left out: no real packument can be had", file=sys.stderr)
        return
    name, body = max(found.items(), key=lambda item: len(item[1]))
    npm_origin.path_of(documents, name).write_bytes(body)
    count = len(json.loads(body)["versions"])
    yield Case(f"packument of {name}, {count} versions", name.replace("/", "%2f"), 1000.0, FULL)


def had(url: str) -> bytes | None:
    """A document of the upstream, None when it has none."""
    request = urllib.request.Request(url, headers={"Accept": "application/json", "Accept-Encoding": "identity"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            body: bytes = answer.read()
            return body
    except (OSError, http.client.HTTPException):
        return None


def compared(case: Case, sides: list[Side], seconds: float, rounds: int) -> Iterator[Row]:
    """One case on every side in turn; the title says how many bytes our answer has."""
    asks: list[Callable[[], float]] = []
    sizes = []
    for side in sides:
        ask, size = prepared(side, case, seconds)
        asks.append(ask)
        sizes.append(size)
    title = case.title if case.conditional else f"{case.title} ({sizes[0]} bytes)"
    taken = columns(rounds, *asks)
    medians = [statistics.median(column) for column in taken]
    if len(sides) == 1:
        yield Row(PART, title, UNIT, medians[0])
    for side, median, column in zip(sides[1:], medians[1:], taken[1:], strict=True):
        yield spread(at_least(PART, title, UNIT, medians[0], median, side.name, case.goal), taken[0], column)


def prepared(side: Side, case: Case, seconds: float) -> tuple[Callable[[], float], int]:
    """What measures a case on a side that is warm then, and the bytes of its answer.

    Raises:
        RuntimeError: the answer is not what is to be measured.
    """
    url, headers = side.registry + case.path, dict(case.headers)
    status, etag, body = asked(url, headers)
    if status == 200 and case.conditional:
        headers["If-None-Match"] = etag
    wanted = 304 if case.conditional else 200
    started = time.monotonic()
    status, _, body = asked(url, headers)
    taken = time.monotonic() - started
    if status != wanted:
        raise RuntimeError(f"{side.name} answered {case.path} with {status}, not {wanted}: {body[:200]!r}")
    if taken > SLOW:
        count = round(max(LEAST, min(MOST, 2 * seconds / taken)))
        return partial(crowd, url, headers, count), len(body)
    return partial(rate, url, headers, seconds), len(body)


def asked(url: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
    """Status, ETag and body as it came."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=120)
    try:
        connection.request("GET", parts.path, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.getheader("etag", ""), response.read()
    finally:
        connection.close()


def crowd(url: str, headers: Mapping[str, str], count: int) -> float:
    """Answers a second of ``count`` that are asked for at once, at most as many as connections at a time.

    A load for a time breaks off what has begun; a slow server would go on with it while the other side is measured.
    """
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        started = time.monotonic()
        for status, _, _ in pool.map(lambda _: asked(url, headers), range(count)):
            if status not in (200, 304):
                raise RuntimeError(f"a server under load answered {status}")
        return count / (time.monotonic() - started)


# --- publishing ---


def published(server: Running) -> Row:
    """One version more, in a package of few versions and in one of many, in turn."""
    for name, count in (("few", FEW), ("many", MANY)):
        for at in range(count):
            publish(server, Sample(name, f"1.{at}.0"))
    taken: dict[str, list[float]] = {"few": [], "many": []}
    for name in turns(TIMES, list(taken)):
        taken[name].append(publish(server, Sample(name, f"2.{len(taken[name])}.0")) * 1000)
    few, many = (statistics.median(taken[name]) for name in ("few", "many"))
    row = at_most("Publishing by npm", f"publish, version {MANY + 1}", "ms", many, few, f"version {FEW + 1}", 3)
    return spread(row, taken["many"], taken["few"])


def publish(server: Running, sample: Sample) -> float:
    """Seconds of a publish as npm does it; raises RuntimeError when it is not taken."""
    body = json.dumps(sample.document()).encode()
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    started = time.monotonic()
    answer = server.ask(f"/npm/local/{sample.name}", method="PUT", body=body, headers=headers)
    taken = time.monotonic() - started
    if answer.status != 201:
        raise RuntimeError(f"{sample.marker} was answered {answer.status}: {answer.text[:200]}")
    return taken
