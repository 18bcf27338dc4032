"""Several server processes beside one, which is to be no better at anything."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.clients.samples import Sample
from tests.running import Running, running
from tests.upstreams import playing

from benchmarks import cold, origin, reads
from benchmarks.load import rate
from benchmarks.processor import children
from benchmarks.results import Row, at_least, columns, spread, turns

GOAL, PUBLISHERS, BATCH, PATIENCE = 0.9, 3, 8, 20.0
"""The least share of one process's rate; who publish at once; wheels in a row; seconds until workers must be there."""
ENOUGH = 32
"""Connections after which every worker has most likely had one."""


@dataclass(frozen=True)
class Pair:
    """The same server as one process and as several."""

    one: Running
    several: Running
    count: int

    @property
    def both(self) -> tuple[Running, Running]:
        """Several first."""
        return self.several, self.one

    def row(self, title: str, unit: str, taken: Sequence[Sequence[float]]) -> Row:
        """Rates by round, in the order of ``both``."""
        ours, other = map(statistics.median, taken)
        part = f"{self.count} processes beside one"
        return spread(at_least(part, title, unit, ours, other, "one process", GOAL), *taken)


def paired(stack: ExitStack, folder: Path, config: str, count: int) -> Pair:
    """Start both, and wait for all workers."""
    one = stack.enter_context(running(folder / "one", config=config))
    env = {"RELIQUARY_WORKERS": str(count)}
    several = stack.enter_context(running(folder / "several", config=config, env=env))
    deadline = time.monotonic() + PATIENCE
    while len(children(several.process.pid)) < count:
        if time.monotonic() > deadline:
            raise RuntimeError("the workers did not start")
        time.sleep(0.05)
    for server in (several, one):
        for _ in range(ENOUGH):
            server.ask("/readyz")
    return Pair(one, several, count)


def measure(folder: Path, count: int, seconds: float, rounds: int, sizes: tuple[int, int]) -> Iterator[Row]:
    """Every line.

    Args:
        count: processes of the larger server.
        sizes: bytes of the file for one asker and of the one for many.
    """
    with ExitStack() as stack:
        upstream = stack.enter_context(playing())
        reads.offer(upstream)
        pair = paired(stack, folder / "warm", cold.config(upstream.url), count)
        yield from warm(pair, seconds, rounds)
        yield published(pair, rounds)
        yield from mixed(pair, seconds, rounds)
    for name, size, lines in (("one", sizes[0], fetched), ("many", sizes[1], shared)):
        with ExitStack() as stack:
            upstream_url = stack.enter_context(origin.serving(size, cold.PACE))
            pair = paired(stack, folder / name, cold.config(upstream_url), count)
            yield from lines(pair, upstream_url, size, rounds)


def warm(pair: Pair, seconds: float, rounds: int) -> Iterator[Row]:
    """What is asked for again and again."""
    for server in pair.both:
        reads.place(server)
    known = {server.port: reads.condition(server) for server in pair.both}
    for case in reads.CASES:
        for server in pair.both:
            for _ in range(ENOUGH):
                reads.warm(server, case)
        taken = columns(rounds, *(partial(asked, server, case, case.headers, seconds) for server in pair.both))
        yield pair.row(case.title, reads.UNIT, taken)
    taken = columns(rounds, *(partial(asked, each, reads.PAGE, known[each.port], seconds) for each in pair.both))
    yield pair.row("not modified (304)", reads.UNIT, taken)


def asked(server: Running, case: reads.Case, headers: Mapping[str, str], seconds: float) -> float:
    """Answers a second."""
    return rate(server.url + case.path[1:], headers, seconds)


def published(pair: Pair, rounds: int) -> Row:
    """One client that publishes wheel after wheel."""
    names = [f"round-{at}" for at in range(rounds)]
    queues = {server.port: iter(names) for server in pair.both}

    def publish(server: Running) -> float:
        name = next(queues[server.port])
        samples = [Sample(name, f"1.{at}") for at in range(BATCH)]
        started = time.monotonic()
        for sample in samples:
            put(server, sample)
        return BATCH / (time.monotonic() - started)

    return pair.row("publish", "wheels/s", columns(rounds, *(partial(publish, server) for server in pair.both)))


def put(server: Running, sample: Sample) -> None:
    """Publish a wheel; raises RuntimeError when it is not taken."""
    if (answer := server.put(f"/pypi/local/{sample.filename}", sample.wheel)).status != 201:
        raise RuntimeError(f"{sample.filename} was answered {answer.status}")


def mixed(pair: Pair, seconds: float, rounds: int) -> Iterator[Row]:
    """Many who read while a few publish."""
    taken: dict[int, tuple[list[float], list[float]]] = {server.port: ([], []) for server in pair.both}
    for server in turns(rounds, pair.both):
        readers, publishers = taken[server.port]
        read, written = together(server, f"mixed-{len(readers)}", seconds)
        readers.append(read)
        publishers.append(written)
    for at, (what, unit) in enumerate((("reads of a small page", reads.UNIT), ("publishing", "wheels/s"))):
        title = f"{what}, while 16 read and {PUBLISHERS} publish"
        yield pair.row(title, unit, [taken[server.port][at] for server in pair.both])


def together(server: Running, name: str, seconds: float) -> tuple[float, float]:
    """Answers and wheels a second, of readers and publishers at the same time."""
    over = threading.Event()

    def publish(number: int) -> int:
        at = 0
        while not over.is_set():
            put(server, Sample(f"{name}-{number}", f"1.{at}"))
            at += 1
        return at

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        started = time.monotonic()
        publishing = [pool.submit(publish, number) for number in range(PUBLISHERS)]
        try:
            read = asked(server, reads.PAGE, {}, seconds)
        finally:
            over.set()
        wheels = sum(each.result() for each in publishing)
        return read, wheels / (time.monotonic() - started)


def fetched(pair: Pair, _: str, size: int, rounds: int) -> Iterator[Row]:
    """A cold file, for one asker."""
    urls = {server.port: iter(cold.addresses(server)) for server in pair.both}

    def download(server: Running) -> float:
        return size / 1e6 / cold.download(next(urls[server.port]), size).whole

    taken = columns(rounds, *(partial(download, server) for server in pair.both))
    yield pair.row(f"cold file of {size / 1e6:.0f} MB", "MB/s", taken)


def shared(pair: Pair, upstream: str, size: int, rounds: int) -> Iterator[Row]:
    """A cold file for many at once: one download, whichever worker each of them came to."""
    urls = {server.port: enumerate(cold.addresses(server)) for server in pair.both}
    downloads: list[int] = []

    def ask(server: Running) -> float:
        at, url = next(urls[server.port])
        before = cold.fetched(upstream, at)
        _, last = cold.together(url, size)
        if server is pair.several:
            downloads.append(cold.fetched(upstream, at) - before)
        return cold.ASKERS * size / 1e6 / last

    asks: list[Callable[[], float]] = [partial(ask, server) for server in pair.both]
    row = pair.row(f"{cold.ASKERS} askers of {size / 1e6:.0f} MB", "MB/s", columns(rounds, *asks))
    yield row
    yield cold.once(row.part, f"{row.title}, downloads", downloads)
