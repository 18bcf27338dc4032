"""`make bench`: what Reliquary does beside what else could serve the same.

Loopback only, but for ``real``, ``npm``, ``npm-real`` and ``cargo-real``, and for what is installed to stand beside us.
Each figure is the median of rounds in which both sides take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.running import running
from tests.upstreams import playing

from benchmarks import (
    bulk,
    cargo,
    cargo_real,
    clients,
    cold,
    npm,
    npm_real,
    peers,
    publishing,
    reads,
    results,
    static,
    workers,
)
from benchmarks.load import CONNECTIONS, Unusable
from reliquary import __version__

PARTS = ("reads", "cold", "bulk", "publish")
FURTHER = ("workers", "peers", "real", "npm", "npm-real", "cargo", "cargo-real")
"""What is measured without being asked for, in a minute and a half, and what takes longer."""
NONE = "none"


SIZES = (100_000_000, 20_000_000)
"""Bytes of the cold file for one asker, and of the one for many."""


def warm(folder: Path, arguments: argparse.Namespace) -> Iterator[results.Row]:
    """Warm reads, beside nginx where it is installed."""
    program = static.nginx()
    with ExitStack() as stack:
        upstream = stack.enter_context(playing())
        reads.offer(upstream)
        server = stack.enter_context(running(folder / "var", config=cold.config(upstream.url)))
        beside = stack.enter_context(static.serving(program, folder / "nginx")) if program else None
        yield from reads.measure(server, beside, arguments.seconds, arguments.rounds)


def measured(folder: Path, arguments: argparse.Namespace) -> Iterator[results.Row]:
    """Every part that is wanted."""
    small, rounds = arguments.small, arguments.rounds
    if "reads" in arguments.parts:
        yield from warm(folder / "reads", arguments)
    if "cold" in arguments.parts:
        yield from cold.measure(folder / "cold", *SIZES, rounds)
    if "bulk" in arguments.parts:
        yield from bulk.measure(
            folder / "bulk", *((200_000_000, 10_000) if small else (2_000_000_000, 100_000)), rounds
        )
    if "publish" in arguments.parts:
        yield from publishing.measure(folder / "publish", 20)
    if "workers" in arguments.parts:
        yield from workers.measure(folder / "workers", arguments.workers, arguments.seconds, rounds, SIZES)
    if "peers" in arguments.parts:
        yield from peers.measure(folder / "peers", arguments.seconds, rounds)
    if "real" in arguments.parts:
        yield from clients.measure(folder / "real", arguments.homes)
    if "npm" in arguments.parts:
        yield from npm.measure(folder / "npm", arguments.seconds, rounds)
    if "npm-real" in arguments.parts:
        yield from npm_real.measure(folder / "npm-real", rounds, arguments.homes)
    if "cargo" in arguments.parts:
        yield from cargo.measure(folder / "cargo", arguments.seconds, rounds)
    if "cargo-real" in arguments.parts:
        yield from cargo_real.measure(folder / "cargo-real", rounds, arguments.homes)


def machine() -> str:
    """What the numbers were taken on."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), platform.machine())
    program = static.nginx()
    found = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr if program else ""
    beside = found.strip().rpartition("/")[2] or "absent"
    return (
        f'`make bench ARGS="{" ".join(sys.argv[1:])}"`: Reliquary {__version__}, one process, '
        f"Python {platform.python_version()}; nginx {beside}, one worker; {len(os.sched_getaffinity(0))} processors "
        f"({model}), Linux {platform.release().partition('-')[0]}; wrk, {CONNECTIONS} connections"
    )


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    known = ", ".join((*PARTS, *FURTHER))
    usual = ", ".join(PARTS)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {known} and {NONE}; default {usual}")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds for each rate (at most 5)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each figure (at most 9)")
    parser.add_argument("--small", action="store_true", help="a tenth of the large file and of the large catalog")
    parser.add_argument("--workers", type=int, metavar="N", help="also N server processes (2 to 8) beside one")
    parser.add_argument("--peers", action="store_true", help="also other servers, installed beside our environment")
    parser.add_argument("--real", action="store_true", help="also pip and uv, with the real upstream of this machine")
    parser.add_argument("--npm", action="store_true", help="also npm's documents, with Verdaccio installed beside us")
    parser.add_argument("--npm-real", action="store_true", help="also npm itself, with the real upstream and Verdaccio")
    parser.add_argument("--cargo", action="store_true", help="also cargo's index files, with Kellnr built beside us")
    parser.add_argument("--cargo-real", action="store_true", help="also cargo itself, with the real upstream")
    parser.add_argument(
        "--homes",
        type=Path,
        help="where pip, uv, npm and cargo keep their files: a disk that is full of their writing tells little",
    )
    parser.add_argument("--all", action="store_true", help="everything")
    parser.add_argument("--json", action="store_true", help="print the results as JSON alone")
    parser.add_argument("--plot", type=Path, help="write a plot (SVG) to this file")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - {*PARTS, *FURTHER, NONE}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    more = {part for part in FURTHER if getattr(arguments, part.replace("-", "_")) or arguments.all}
    arguments.parts = {*(arguments.parts or PARTS), *more} if not arguments.all else {*PARTS, *more}
    arguments.workers = max(2, min(8, arguments.workers or 2))
    arguments.seconds, arguments.rounds = min(5.0, arguments.seconds), max(1, min(9, arguments.rounds))
    return arguments


def main() -> int:
    """Measure and print."""
    arguments = parsed()
    if shutil.which("wrk") is None:
        print("nothing measured: wrk is not installed")
        return 0
    rows: list[results.Row] = []
    code = 0
    with tempfile.TemporaryDirectory(prefix="reliquary-bench-") as folder:
        try:
            for row in measured(Path(folder), arguments):
                print(f"{row.title}: {results.number(row.ours)} {row.unit}", file=sys.stderr, flush=True)
                rows.append(row)
        except (OSError, RuntimeError, Unusable, subprocess.SubprocessError) as error:
            # What was measured before is still worth its time.
            print(f"stopped: {error}", file=sys.stderr)
            code = 1
    print(json.dumps(results.document(rows)) if arguments.json else f"{machine()}\n{results.table(rows)}")
    if arguments.plot is not None:
        arguments.plot.write_text(results.plot(rows))
    return code


if __name__ == "__main__":
    sys.exit(main())
