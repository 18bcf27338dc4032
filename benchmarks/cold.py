"""Files that are not here yet, fetched from an upstream that keeps a pace."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from tests.running import Running, running

from benchmarks import origin
from benchmarks.results import Row, at_most

PACE, ASKERS, ALLOWANCE = 50e6, 50, 0.020
"""Bytes a second; how many ask at once; seconds that a first byte may come later."""
PART = "Cold files, upstream at 50 MB/s"


@dataclass(frozen=True)
class Download:
    """Seconds until the first byte and until the last, and when that was (monotonic)."""

    first: float
    whole: float
    ended: float


def download(url: str, size: int) -> Download:
    """Read a file and throw it away; raises RuntimeError when it is not whole."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=120)
    buffer = memoryview(bytearray(1_048_576))
    started = time.monotonic()
    try:
        connection.request("GET", parts.path, headers={"Accept-Encoding": "identity"})
        response = connection.getresponse()
        got = response.readinto(buffer[:1])
        first = time.monotonic()
        while count := response.readinto(buffer):
            got += count
    finally:
        connection.close()
    ended = time.monotonic()
    if response.status != 200 or got != size:
        raise RuntimeError(f"{parts.path} answered {response.status} with {got} of {size} bytes")
    return Download(first - started, ended - started, ended)


def addresses(server: Running) -> list[str]:
    """Where the server says that the files of the project are; its page is warm then."""
    path = "pypi/main/simple/heavy/"
    answer = server.ask(f"/{path}", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    return [urljoin(server.url + path, each["url"]) for each in json.loads(answer.body)["files"]]


def measure(folder: Path, size: int, askers_size: int, rounds: int) -> Iterator[Row]:
    """Both cases. ``size`` and ``askers_size`` are bytes of a file."""
    with origin.serving(size, PACE) as upstream, running(folder / "one", config=config(upstream)) as server:
        yield from one(server, upstream, size, rounds)
    with origin.serving(askers_size, PACE) as upstream, running(folder / "many", config=config(upstream)) as server:
        yield from many(server, upstream, askers_size, rounds)


def config(upstream: str) -> str:
    """Settings of a server before the upstream."""
    return f'upstreams = {{ pypi = "{upstream}simple/" }}\n'


def one(server: Running, upstream: str, size: int, rounds: int) -> Iterator[Row]:
    """A single asker, beside one who asks the upstream."""
    ours, direct = [], []
    for at, url in enumerate(addresses(server)[:rounds]):
        direct.append(download(f"{upstream}files/{at}", size))
        ours.append(download(url, size))
    first, direct_first = (statistics.median(each.first for each in taken) * 1000 for taken in (ours, direct))
    whole, direct_whole = (statistics.median(each.whole for each in taken) for taken in (ours, direct))
    bound = 1.2 * direct_first + ALLOWANCE * 1000
    title, goal = f"{size / 1e6:.0f} MB", "at most 1.2 x + 20 ms"
    ratio = first / direct_first
    yield Row(PART, f"{title}, first byte", "ms", first, direct_first, "direct", ratio, goal, bound / first)
    yield at_most(PART, f"{title}, whole", "s", whole, direct_whole, "direct", 1.1)


def many(server: Running, upstream: str, size: int, rounds: int) -> Iterator[Row]:
    """Many askers of one file at once: one download, and the last is done soon after the first."""
    urls = addresses(server)
    taken = [together(url, size) for url in urls[:rounds]]
    title = f"{ASKERS} askers of {size / 1e6:.0f} MB"
    yield once(PART, f"{title}, downloads", [fetched(upstream, at) for at in range(rounds)])
    first, last = (statistics.median(column) for column in zip(*taken, strict=True))
    yield at_most(PART, f"{title}, last done", "s", last, first, "first done", 1.3)


def once(part: str, title: str, downloads: Sequence[int]) -> Row:
    """That the upstream was asked once in each round."""
    met = set(downloads) == {1}
    return Row(part, title, "count", max(downloads), None, "", None, "exactly 1", 1.0 if met else 0.1)


def together(url: str, size: int) -> tuple[float, float]:
    """Seconds until the first asker and until the last has all of it."""
    ready = threading.Barrier(ASKERS + 1)

    def ask() -> float:
        ready.wait()
        return download(url, size).ended

    with ThreadPoolExecutor(ASKERS) as pool:
        asking = [pool.submit(ask) for _ in range(ASKERS)]
        ready.wait()
        started = time.monotonic()
        ended = [each.result() - started for each in asking]
    return min(ended), max(ended)


def fetched(upstream: str, at: int) -> int:
    """How often the upstream was asked for a file."""
    connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=10)
    try:
        connection.request("GET", f"/count/{at}")
        return int(connection.getresponse().read())
    finally:
        connection.close()
