"""Warm reads, beside nginx that serves the same bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.running import Answer, Running
from tests.upstreams import Upstream

from benchmarks.load import rate
from benchmarks.results import Row, at_least, beside, interleaved

SMALL, LARGE, MEGABYTE = 30, 3000, 1_048_576
FILE = "/generic/local/bench/file.bin"
PART = "Warm reads, 16 connections"
UNIT = "answers/s"


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


def measure(server: Running, static: tuple[str, Path] | None, seconds: float, rounds: int) -> Iterator[Row]:
    """Every case in turn.

    Args:
        static: address and folder of nginx.
    """
    if server.put(FILE, random.Random(1).randbytes(MEGABYTE)).status != 201:
        raise RuntimeError("the file that is measured was not taken")
    for at, case in enumerate(CASES):
        yield _case(server, static, case, str(at), seconds, rounds)
    yield _not_modified(server, seconds, rounds)


def _case(server: Running, static: tuple[str, Path] | None, case: Case, name: str, seconds: float, rounds: int) -> Row:
    answer = warm(server, case)
    mine = partial(rate, server.url + case.path[1:], case.headers, seconds)
    title = f"{case.title} ({len(answer.body)} bytes)"
    if static is None:
        return Row(PART, title, UNIT, interleaved(rounds, mine)[0])
    (static[1] / name).write_bytes(answer.body)
    ours, other = interleaved(rounds, mine, partial(rate, static[0] + name, case.headers, seconds))
    if case.goal is None:
        return beside(PART, title, UNIT, ours, other, "nginx")
    return at_least(PART, title, UNIT, ours, other, "nginx", case.goal)


def _not_modified(server: Running, seconds: float, rounds: int) -> Row:
    """304, which is to cost no more than the page itself."""
    url = server.url + PAGE.path[1:]
    condition = {"If-None-Match": warm(server, PAGE).header("etag") or ""}
    if server.ask(PAGE.path, headers=condition).status != 304:
        raise RuntimeError("the validator of the page was not known again")
    ours, whole = interleaved(rounds, partial(rate, url, condition, seconds), partial(rate, url, {}, seconds))
    return at_least(PART, "not modified (304)", UNIT, ours, whole, "our small page", 1)
