"""Other servers of Python packages, on the same pages and files in the same run."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

from tests.clients.samples import Sample
from tests.running import running

from benchmarks import offering, playmates, reads
from benchmarks.load import Unusable, rate
from benchmarks.results import Row, at_least, at_most, beside, columns, interleaved, spread, turns
from benchmarks.tools import environment, provide

PART = "Beside other servers"
HTML = {"Accept": "text/html"}
GZIP = HTML | {"Accept-Encoding": "gzip"}
UPLOADS, COLD, PAUSE = 100, 9, 0.1
"""Wheels that are published, wheels that are asked for cold, seconds between these."""


@dataclass(frozen=True)
class Peer:
    """A server under test: ``index`` is the address of its pages, ``publish`` that of twine."""

    name: str
    index: str
    publish: str | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    fetches: bool = True


GOALS = {
    ("page of 30 files", "devpi"): 30.0,
    ("page of 30 files", "proxpi"): 8.0,
    ("page of 3000 files, gzip", "devpi"): 300.0,
    (f"twine, {UPLOADS} wheels", "devpi"): 10.0,
}


def row(title: str, unit: str, peer: Peer, ours: float, theirs: float) -> Row:
    """Both figures, with a goal where there is one."""
    goal = GOALS.get((title, peer.name))
    if goal is None:
        return beside(PART, title, unit, ours, theirs, peer.name)
    return at_least(PART, title, unit, ours, theirs, peer.name, goal)


def measure(folder: Path, seconds: float, rounds: int) -> Iterator[Row]:
    """Start everyone that can be installed, then take turns."""
    samples = offering.wheels(COLD, reads.MEGABYTE)
    with ExitStack() as stack:
        index = stack.enter_context(offering.serving(COLD, reads.MEGABYTE)) + "full/simple/"
        config = f'upstreams = {{ pypi = "{index}" }}\n'
        server = stack.enter_context(running(folder / "var", config=config))
        base = f"{server.url}pypi/"
        us = Peer("reliquary", f"{base}main/simple/", f"{base}local/", "__token__", server.token)
        peers = list(started(stack, folder, index, samples))
        yield from pages(us, peers, seconds, rounds)
        yield from wheels(us, peers, samples, seconds, rounds)
        yield from uploads(us, peers, folder)


def started(stack: ExitStack, folder: Path, index: str, samples: Sequence[Sample]) -> Iterator[Peer]:
    """The other servers, before the upstream ``index`` where they fetch; one that cannot be installed is left out."""
    if commands := provide("devpi", "devpi-server"):
        url = stack.enter_context(playmates.devpi(commands, folder / "devpi", index))
        yield Peer("devpi", f"{url}root/up/+simple/", f"{url}bench/own/", "bench", "bench")
    if commands := provide("proxpi", "proxpi", "gunicorn"):
        url = stack.enter_context(playmates.proxpi(commands, folder / "proxpi", index))
        yield Peer("proxpi", f"{url}index/")
    if commands := provide("pypiserver", "pypiserver", "waitress"):
        url = stack.enter_context(playmates.pypiserver(commands, folder / "pypiserver", samples))
        yield Peer("pypiserver", f"{url}simple/", url, "bench", "bench", fetches=False)


def pages(us: Peer, peers: Sequence[Peer], seconds: float, rounds: int) -> Iterator[Row]:
    """Warm pages."""
    for title, name, headers in (("page of 30 files", "small", HTML), ("page of 3000 files, gzip", "large", GZIP)):
        asked = [partial(speed, f"{each.index}{name}/", headers, seconds) for each in (us, *peers)]
        for each in (us, *peers):
            fetch(f"{each.index}{name}/", headers)
        ours, *others = interleaved(rounds, *asked)
        for peer, theirs in zip(peers, others, strict=True):
            yield row(title, "answers/s", peer, ours, theirs)


def speed(url: str, headers: dict[str, str], seconds: float) -> float:
    """Answers a second; of a server that is too slow for the load, of one asker after the other."""
    try:
        return rate(url, headers, seconds)
    except Unusable:
        started = time.monotonic()
        for _ in range(3):
            fetch(url, headers)
        return 3 / (time.monotonic() - started)


def wheels(us: Peer, peers: Sequence[Peer], samples: Sequence[Sample], seconds: float, rounds: int) -> Iterator[Row]:
    """A file of 1 MiB, first asked for and then again and again: no other server is to be faster at either."""
    links = {each.name: addresses(each, samples) for each in (us, *peers)}
    cold = first_asked({each.name: links[each.name] for each in (us, *peers) if each.fetches})
    warm = columns(rounds, *(partial(speed, urls[0], {}, seconds) for urls in links.values()))
    for peer, theirs in zip(peers, warm[1:], strict=True):
        if peer.fetches:
            mine, other = cold[us.name], cold[peer.name]
            medians = (statistics.median(mine), statistics.median(other))
            yield spread(at_most(PART, "wheel of 1 MiB, cold", "ms", *medians, peer.name, 1), mine, other)
        medians = (statistics.median(warm[0]), statistics.median(theirs))
        yield spread(at_least(PART, "wheel of 1 MiB, warm", "answers/s", *medians, peer.name, 1), warm[0], theirs)


def first_asked(links: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
    """Milliseconds of the first answer for each file, each on a connection of its own."""
    taken: dict[str, list[float]] = {name: [] for name in links}
    for name in turns(COLD, list(links)):
        # What a server still does after its answer is not to slow the next one.
        time.sleep(PAUSE)
        taken[name].append(seconds_of(partial(fetch, links[name][len(taken[name])])) * 1000)
    return taken


def addresses(peer: Peer, samples: Sequence[Sample]) -> list[str]:
    """Where the files are, as the peer's own page says."""
    page = f"{peer.index}wheels/"
    hrefs = re.findall(r'href="([^"]+)"', fetch(page, HTML).decode())
    return [next(urljoin(page, href) for href in hrefs if each.filename in href) for each in samples]


def uploads(us: Peer, peers: Sequence[Peer], folder: Path) -> Iterator[Row]:
    """Many small wheels by one run of twine, as wheels a second."""
    commands = provide("twine", "twine")
    if commands is None:
        print("left out: twine cannot be installed", file=sys.stderr)
        return
    files: list[Path] = []
    for at in range(UPLOADS):
        files += Sample(f"made-{at % 10}", f"1.{at}").save(folder / "dist")
    send = partial(twine, commands, folder / "home", files)
    ours = send(us)
    for peer in peers:
        if peer.publish is not None:
            yield row(f"twine, {UPLOADS} wheels", "wheels/s", peer, ours, send(peer))


def twine(commands: Path, home: Path, files: Sequence[Path], peer: Peer) -> float:
    """Wheels a second; raises RuntimeError when they are not taken."""
    home.mkdir(exist_ok=True)
    env = environment(home, TWINE_USERNAME=peer.user, TWINE_PASSWORD=peer.password)
    command = [str(commands / "twine"), "upload", "--non-interactive", "--disable-progress-bar"]
    command += ["--repository-url", peer.publish or "", *map(str, files)]
    started = time.monotonic()
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"{peer.name} did not take the wheels: {done.stdout[-500:]}{done.stderr[-300:]}")
    return len(files) / (time.monotonic() - started)


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def fetch(url: str, headers: dict[str, str] | None = None) -> bytes:
    """A body; raises RuntimeError for an error."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=60) as answer:
            found: bytes = answer.read()
            return found
    except OSError as error:
        raise RuntimeError(f"{url}: {error}") from error
