"""A real project installed by the machine's own npm: directly, through us and through Verdaccio, cold and warm."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.running import running

from benchmarks import npm_peer
from benchmarks.npm_peer import Side
from benchmarks.results import Row, at_most, beside, spread

PART = "npm, real packages, upstream of this machine, its own cache empty"
BUDGET, PATIENCE, LEAST = 330, 240, 600
"""Seconds after which no further round is to end; seconds that npm may take; packages that it must install."""
NAMES = """
@babel/core@7 @babel/preset-env@7 axios@1 chalk@4 commander@12 cors@2 css-loader@7 dotenv@16 eslint@8
eslint-plugin-react@7 express@4 jest@29 lodash@4 mocha@10 prettier@3 react@18 react-dom@18 style-loader@4 typescript@5
webpack@5 webpack-cli@5 yargs@17
"""
"""What the project asks for: nothing whose parts differ from system to system, which lockfiles do not always hold."""
MANIFEST = {
    "name": "project",
    "version": "1.0.0",
    "private": True,
    "dependencies": {name: f"^{major}" for name, _, major in (each.rpartition("@") for each in NAMES.split())},
}
CLIENTS = {"npm ci": ("ci",), "npm install": ("install",)}
"""With a lockfile that names the registry's own tarballs, and without one."""
GOALS = {
    ("npm ci", "warm"): (0.8, 0.9),
    ("npm install", "warm"): (0.4, 0.65),
    ("npm ci", "cold"): (1.4, 1.0),
    ("npm install", "cold"): (1.4, 1.0),
}
"""The most of npm's own time without a server between, and of that with Verdaccio between."""
RESOLVED = '"resolved": "'
Start = Callable[[Path], AbstractContextManager[Side]]


@dataclass
class Project:
    """The project, ready to be installed from anywhere.

    Args:
        homes: where npm keeps what it writes.
        direct: the upstream itself.
        lock: the lockfile, as made from the upstream.
        taken: seconds, by client and what was measured, once a round.
        count: packages that npm installed last.
    """

    homes: Path
    direct: Side
    lock: str = ""
    taken: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0

    def time(self, client: str, side: Side, what: str) -> None:
        """Install with an empty cache, and keep the time."""
        with tempfile.TemporaryDirectory(dir=self.homes) as home:
            self.taken[client, what].append(self.install(client, side, Path(home), Path(home) / "cache"))

    def install(self, client: str, side: Side, home: Path, cache: Path, *more: str) -> float:
        """Seconds of one run; raises RuntimeError when it fails or brings too little."""
        folder = home / "project"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "package.json").write_text(json.dumps(MANIFEST))
        if client == "npm ci":
            (folder / "package-lock.json").write_text(resolved(self.lock, self.direct, side))
        taken = npm((*CLIENTS[client], *more), folder, side, cache)
        installed = json.loads((folder / "node_modules" / ".package-lock.json").read_text())
        self.count = len(installed["packages"])
        if self.count < LEAST:
            raise RuntimeError(f"{client} brought {self.count} packages, {LEAST} are wanted")
        return taken


def resolved(lock: str, old: Side, new: Side) -> str:
    """The lockfile with the tarballs of another registry: npm follows the addresses as they are.

    Raises:
        RuntimeError: some would still be fetched from elsewhere, and the other registry would not be measured.
    """
    made = lock.replace(f"{RESOLVED}{old.registry}", f"{RESOLVED}{new.registry}")
    if not made.count(RESOLVED) or made.count(RESOLVED) != made.count(f"{RESOLVED}{new.registry}"):
        raise RuntimeError("the lockfile has tarballs that do not lie below the registry: nothing can be compared")
    return made


def npm(words: Sequence[str], folder: Path, side: Side, cache: Path) -> float:
    """Seconds of one command; raises RuntimeError when it fails.

    The machine's own settings stay, since they may say how its upstream is reached; what matters is set over them.
    """
    settings = {
        "cache": str(cache),
        "registry": side.registry,
        "replace_registry_host": "never",
        "omit_lockfile_registry_resolved": "false",
        "ignore_scripts": "true",
        "update_notifier": "false",
        "audit": "false",
        "fund": "false",
    }
    env = os.environ | {f"npm_config_{name}": value for name, value in settings.items()}
    command = [shutil.which("npm") or "npm", *words]
    os.sync()  # what the run before wrote is not waited for in this one
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    taken = time.monotonic() - started
    if done.returncode:
        # Whose upstream this machine has is nobody's business.
        said = re.sub(r"https?://[^/\s]+", "(registry)", done.stderr)
        raise RuntimeError(f"npm {words[0]} from {side.name} failed: {said[-500:]}")
    return taken


def measure(folder: Path, rounds: int, homes: Path | None = None) -> Iterator[Row]:
    """Every way to install the project; nothing where there is no upstream.

    Args:
        rounds: at most; one in any case, and no more than fit into the budget.
        homes: where npm keeps what it writes; None: where temporary files are kept.
    """
    url, program = npm_peer.direct(), npm_peer.provide()
    if url is None:
        print("left out: npm has no registry here", file=sys.stderr)
        return
    starts: dict[str, Start] = {"reliquary": partial(ours, url)}
    if program is None:
        print("left out: verdaccio cannot be installed", file=sys.stderr)
    else:
        starts[npm_peer.NAME] = lambda place: npm_peer.verdaccio(program, place, url)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=homes) as made:
        project = Project(Path(made), Side("direct", url))
        prepare(project)
        _rounds(project, folder, list(starts.items()), rounds)
    yield from rows(project)


@contextmanager
def ours(upstream: str, place: Path) -> Iterator[Side]:
    """An empty server of ours."""
    with running(place, config=f'upstreams = {{ npm = "{upstream}" }}\n') as server:
        yield Side("reliquary", f"{server.url}npm/main/")


def prepare(project: Project) -> None:
    """Make the lockfile, and a cache that has everything."""
    folder = project.homes / "lock"
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps(MANIFEST))
    cache = project.homes / "full"
    npm(("install", "--package-lock-only"), folder, project.direct, cache)
    project.lock = (folder / "package-lock.json").read_text()
    project.install("npm ci", project.direct, project.homes, cache)


def _rounds(project: Project, folder: Path, starts: Sequence[tuple[str, Start]], rounds: int) -> None:
    """As many rounds as fit; every other one in the opposite order."""
    began = time.monotonic()
    for at in range(rounds):
        started = time.monotonic()
        _round(project, folder / str(at), starts, backwards=at % 2 == 1)
        ended = time.monotonic()
        if (ended - began) + (ended - started) > BUDGET:
            return


def _round(project: Project, place: Path, starts: Sequence[tuple[str, Start]], *, backwards: bool) -> None:
    """Each way once. Who comes second finds the other's files in this machine's memory, and names looked up."""
    place.mkdir()
    steps: list[Callable[[], None]] = [partial(alone, project)]
    steps += [partial(through, project, name, start, place) for name, start in starts]
    for step in reversed(steps) if backwards else steps:
        step()


def alone(project: Project) -> None:
    """Without a server between, and with nothing to fetch."""
    for client in CLIENTS:
        project.time(client, project.direct, "direct")
        taken = project.install(client, project.direct, project.homes, project.homes / "full", "--prefer-offline")
        project.taken[client, "floor"].append(taken)


def through(project: Project, name: str, start: Start, place: Path) -> None:
    """Through a server that is empty at first; without the packuments of the install, `ci` comes to one of its own."""
    with start(place / f"{name}-install") as side:
        project.time("npm install", side, f"{name} cold")
        project.time("npm install", side, f"{name} warm")
        project.time("npm ci", side, f"{name} warm")
    with start(place / f"{name}-ci") as side:
        project.time("npm ci", side, f"{name} cold")


def rows(project: Project) -> Iterator[Row]:
    """What was measured, with the goals."""
    for (client, state), bounds in GOALS.items():
        mine = project.taken[client, f"reliquary {state}"]
        title = f"{client}, {project.count} packages, {state}"
        for name, what, bound in zip(
            ("direct", npm_peer.NAME), ("direct", f"{npm_peer.NAME} {state}"), bounds, strict=True
        ):
            if theirs := project.taken.get((client, what)):
                medians = (statistics.median(mine), statistics.median(theirs))
                yield spread(at_most(PART, title, "s", *medians, name, bound), mine, theirs)
    for client in CLIENTS:
        floor, direct = (project.taken[client, what] for what in ("floor", "direct"))
        medians = (statistics.median(floor), statistics.median(direct))
        title = f"{client}, {project.count} packages, nothing to fetch and no server"
        yield spread(beside(PART, title, "s", *medians, "direct"), floor, direct)
