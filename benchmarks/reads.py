"""Warm reads, beside nginx that serves the same bytes."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.running import Answer, Running
from tests.upstreams import Upstream

from benchmarks.load import load
from benchmarks.processor import spent
from benchmarks.results import Row, at_least, beside, columns, interleaved, spread
from benchmarks.static import Static

SMALL, LARGE, MEGABYTE = 30, 3000, 1_048_576
FILE = "/generic/local/bench/file.bin"
PART = "Warm reads, 16 connections"
UNIT, COST = "answers/s", "CPU s/1000 answers"


@dataclass(frozen=True)
class Case:
    """One thing that is measured; ``goal`` is the least share of nginx."""

    title: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    goal: float | None = None


PAGE = Case(f"page of {SMALL} files", "/pypi/main/simple/small/", goal=0.40)
CASES = (
    PAGE,
    Case(f"page of {LARGE} files, gzip", "/pypi/main/simple/large/", {"Accept-Encoding": "gzip"}, 0.40),
    Case("file of 1 MiB", FILE),
)


@dataclass
class Target:
    """An address under load. ``pid`` is the first process of its server, ``costs`` its processor time in
    seconds for 1,000 answers, once for each time that it was called."""

    url: str
    headers: Mapping[str, str]
    seconds: float
    pid: int
    costs: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """Answers a second."""
        before = spent(self.pid)
        counted = load(self.url, self.headers, self.seconds)
        self.costs.append((spent(self.pid) - before) * 1000 / counted.answers)
        return counted.rate

    @property
    def cost(self) -> float:
        """The median of ``costs``."""
        return statistics.median(self.costs)


def project(name: str, files: int) -> bytes:
    """A project page as an upstream sends it (PEP 691), with made-up files."""
    rows = []
    for at in range(files):
        filename = f"{name}-1.{at}-py3-none-any.whl"
        digest = random.Random(f"{name}{at}").randbytes(32).hex()
        rows.append({"filename": filename, "url": f"/files/{filename}", "hashes": {"sha256": digest}, "size": 1000})
    return json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": rows}).encode()


def projects(*names: str) -> bytes:
    """The list of projects, without which some servers know none."""
    return json.dumps({"meta": {"api-version": "1.0"}, "projects": [{"name": name} for name in names]}).encode()


def offer(upstream: Upstream, index: str = "/simple/") -> None:
    """Lay the two projects at an upstream, below the path ``index``."""
    kind = "application/vnd.pypi.simple.v1+json"
    for name, files in (("small", SMALL), ("large", LARGE)):
        upstream.put(f"{index}{name}/", project(name, files), content_type=kind)
    upstream.put(index, projects("small", "large", "wheels"), content_type=kind)


def warm(server: Running, case: Case) -> Answer:
    """Ask once, so that the answer is warm; what came."""
    answer = server.ask(case.path, headers=case.headers)
    if answer.status != 200:
        raise RuntimeError(f"{case.path} answered {answer.status}: {answer.text[:200]}")
    return answer


def measure(server: Running, static: Static | None, seconds: float, rounds: int) -> Iterator[Row]:
    """Every case in turn, with the processor time that it costs the server."""
    place(server)
    for at, case in enumerate(CASES):
        yield from _case(server, static, case, str(at), seconds, rounds)
    yield from _not_modified(server, seconds, rounds)


def place(server: Running) -> None:
    """Store the file that is measured."""
    if server.put(FILE, random.Random(1).randbytes(MEGABYTE)).status != 201:
        raise RuntimeError("the file that is measured was not taken")


def _case(server: Running, static: Static | None, case: Case, name: str, seconds: float, rounds: int) -> Iterator[Row]:
    answer = warm(server, case)
    mine = Target(server.url + case.path[1:], case.headers, seconds, server.process.pid)
    title = f"{case.title} ({len(answer.body)} bytes)"
    if static is None:
        yield Row(PART, title, UNIT, interleaved(rounds, mine)[0])
        yield Row(PART, f"{title}, processor", COST, mine.cost)
        return
    (static.root / name).write_bytes(answer.body)
    theirs = Target(static.url + name, case.headers, seconds, static.pid)
    taken = columns(rounds, mine, theirs)
    ours, other = map(statistics.median, taken)
    if case.goal is None:
        yield spread(beside(PART, title, UNIT, ours, other, "nginx"), *taken)
    else:
        yield spread(at_least(PART, title, UNIT, ours, other, "nginx", case.goal), *taken)
    yield beside(PART, f"{title}, processor", COST, mine.cost, theirs.cost, "nginx")


def condition(server: Running) -> dict[str, str]:
    """The headers that the small page is answered to with 304."""
    headers = {"If-None-Match": warm(server, PAGE).header("etag") or ""}
    if server.ask(PAGE.path, headers=headers).status != 304:
        raise RuntimeError("the validator of the page was not known again")
    return headers


def _not_modified(server: Running, seconds: float, rounds: int) -> Iterator[Row]:
    """304, which is to cost no more than the page itself."""
    url, pid, title, name = server.url + PAGE.path[1:], server.process.pid, "not modified (304)", "our small page"
    mine, theirs = Target(url, condition(server), seconds, pid), Target(url, {}, seconds, pid)
    taken = columns(rounds, mine, theirs)
    ours, other = map(statistics.median, taken)
    yield spread(at_least(PART, title, UNIT, ours, other, name, 1), *taken)
    yield beside(PART, f"{title}, processor", COST, mine.cost, theirs.cost, name)
