"""A real project fetched by the machine's own cargo: directly and through us, cold and warm."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.running import running

from benchmarks.cargo_peer import hostless
from benchmarks.results import Row, at_most, beside, spread

PART = "cargo fetch, real crates, upstream of this machine, CARGO_HOME empty"
BUDGET, PATIENCE, LEAST = 330, 240, 150
"""Seconds after which no further round is to end; seconds that cargo may take; crates that it must fetch."""
MANIFEST = """\
[package]
name = "project"
version = "0.1.0"
edition = "2021"

[lib]
path = "lib.rs"

[dependencies]
anyhow = "1"
axum = { version = "0.8", features = ["macros", "ws"] }
chrono = { version = "0.4", features = ["serde"] }
clap = { version = "4", features = ["derive", "env"] }
futures = "0.3"
hyper = { version = "1", features = ["full"] }
rand = "0.9"
regex = "1"
reqwest = { version = "0.12", features = ["json", "stream"] }
serde = { version = "1", features = ["derive"] }
serde_json = "1"
sqlx = { version = "0.8", features = ["runtime-tokio", "sqlite", "postgres"] }
thiserror = "2"
tokio = { version = "1", features = ["full"] }
toml = "0.9"
tower-http = { version = "0.6", features = ["full"] }
tracing = "0.1"
tracing-subscriber = { version = "0.3", features = ["env-filter", "json"] }
uuid = { version = "1", features = ["v4", "serde"] }
"""
GOALS = {"warm": 0.9, "cold": 1.5}
"""The most of cargo's own time without a server between."""
WAYS = {"with Cargo.lock": ("--locked",), "without Cargo.lock": ()}
KEPT = ("CARGO_HTTP_", "CARGO_NET_")
"""Variables of cargo that say how this machine reaches its upstream; all others stay outside."""


@dataclass
class Project:
    """The project, ready to be fetched from anywhere.

    Args:
        homes: where cargo keeps what it writes.
        lock: its Cargo.lock, as made from the upstream.
        count: crates in it that come from a registry.
        taken: seconds, by way and what was measured, once a round.
    """

    homes: Path
    lock: str = ""
    count: int = 0
    taken: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def time(self, way: str, index: str | None, what: str) -> None:
        """Fetch with an empty CARGO_HOME, and keep the time."""
        with tempfile.TemporaryDirectory(dir=self.homes) as made:
            home = Path(made) / "cargo"
            self.taken[way, what].append(self.fetch(way, index, home))
            fetched = len(list((home / "registry" / "cache").glob("*/*.crate")))
        if fetched < LEAST:
            raise RuntimeError(f"cargo fetched {fetched} crates, {LEAST} are wanted")

    def fetch(self, way: str, index: str | None, home: Path, *more: str) -> float:
        """Seconds of one fetch from an index, None: from the machine's own; raises RuntimeError when it fails."""
        folder = home.with_name("project")
        lay(folder)
        if way == "with Cargo.lock":
            (folder / "Cargo.lock").write_text(self.lock)
        return cargo(("fetch", *WAYS[way], *more), folder, home, index)


def lay(folder: Path) -> None:
    """Write the project, without a lock."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "Cargo.toml").write_text(MANIFEST)
    (folder / "lib.rs").touch()


def cargo(words: Sequence[str], folder: Path, home: Path, index: str | None) -> float:
    """Seconds of one command; raises RuntimeError when it fails.

    Args:
        home: its CARGO_HOME; the machine's own settings are laid there, since they may say how its upstream is reached.
        index: an index that replaces the public one's source; None: none does.
    """
    home.mkdir(parents=True, exist_ok=True)
    for name in ("config.toml", "config"):
        if (settings() / name).is_file():
            shutil.copyfile(settings() / name, home / name)
    own = {name: value for name, value in os.environ.items() if not name.startswith("CARGO_") or name.startswith(KEPT)}
    command = [shutil.which("cargo") or "cargo", *words, "--quiet"]
    if index is not None:
        for said in ('crates-io.replace-with="measured"', f'measured.registry="sparse+{index}"'):
            command += ["--config", f"source.{said}"]
    os.sync()  # what the run before wrote is not waited for in this one
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=folder,
        env=own | {"CARGO_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    taken = time.monotonic() - started
    if done.returncode:
        raise RuntimeError(f"cargo {words[0]} failed: {hostless(done.stderr)[-500:]}")
    return taken


def settings() -> Path:
    """Where the machine's cargo has its settings."""
    return Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")


def measure(folder: Path, rounds: int, homes: Path | None = None) -> Iterator[Row]:
    """Every way to fetch the project; nothing where there is no cargo or no upstream.

    Args:
        rounds: at most; one in any case, and no more than fit into the budget.
        homes: where cargo keeps what it writes; None: where temporary files are kept.
    """
    if shutil.which("cargo") is None:
        print("left out: cargo is not installed", file=sys.stderr)
        return
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=homes) as made:
        project = Project(Path(made))
        try:
            prepare(project)
        except RuntimeError as error:
            print(f"left out: no crates can be had: {error}", file=sys.stderr)
            return
        _rounds(project, folder, rounds)
    yield from rows(project)


def prepare(project: Project) -> None:
    """Make the lock, and a home that has everything; raises RuntimeError when there is too little."""
    folder = project.homes / "project"
    lay(folder)
    cargo(("generate-lockfile",), folder, project.homes / "full", None)
    project.lock = (folder / "Cargo.lock").read_text()
    project.count = sum("source" in each for each in tomllib.loads(project.lock)["package"])
    if project.count < LEAST:
        raise RuntimeError(f"the project has {project.count} crates, {LEAST} are wanted")
    project.fetch("with Cargo.lock", None, project.homes / "full")


def _rounds(project: Project, folder: Path, rounds: int) -> None:
    """As many rounds as fit; every other one in the opposite order."""
    began = time.monotonic()
    for at in range(rounds):
        started = time.monotonic()
        _round(project, folder / str(at), backwards=at % 2 == 1)
        ended = time.monotonic()
        if (ended - began) + (ended - started) > BUDGET:
            return


def _round(project: Project, place: Path, *, backwards: bool) -> None:
    """Each way once. Who comes second finds the other's files in this machine's memory, and names looked up."""
    place.mkdir()
    steps: list[Callable[[], None]] = []
    for way in WAYS:
        pair = [partial(project.time, way, None, "direct"), partial(through, project, way, place)]
        steps += reversed(pair) if backwards else pair
    for step in steps:
        step()
    unpack(project)


def through(project: Project, way: str, place: Path) -> None:
    """Through a server that is empty at first, with the upstream that it finds on this machine."""
    with running(place / way.replace(" ", "-")) as server:
        index = f"{server.url}cargo/main/"
        project.time(way, index, "cold")
        project.time(way, index, "warm")


def unpack(project: Project) -> None:
    """What cargo itself takes when it has every archive and every index file."""
    full = project.homes / "full"
    shutil.rmtree(full / "registry" / "src")
    taken = project.fetch("with Cargo.lock", None, full, "--offline")
    project.taken["with Cargo.lock", "floor"].append(taken)


def rows(project: Project) -> Iterator[Row]:
    """What was measured, with the goals."""
    for way in WAYS:
        direct = project.taken[way, "direct"]
        for state, bound in GOALS.items():
            mine = project.taken[way, state]
            medians = (statistics.median(mine), statistics.median(direct))
            title = f"{way}, {project.count} crates, {state}"
            yield spread(at_most(PART, title, "s", *medians, "direct", bound), mine, direct)
    way = "with Cargo.lock"
    floor, direct = project.taken[way, "floor"], project.taken[way, "direct"]
    medians = (statistics.median(floor), statistics.median(direct))
    title = f"{way}, {project.count} crates, nothing to fetch and no server"
    yield spread(beside(PART, title, "s", *medians, "direct"), floor, direct)
