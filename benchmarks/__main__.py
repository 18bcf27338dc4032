"""`make bench`: rates of warm reads, beside nginx serving the same bytes. Loopback only, under a minute.

Every case is asked of a server of one process with what a client would send; the bytes that come
are laid under nginx, and asked for there in the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.running import Answer, Running, running
from tests.upstreams import playing

from benchmarks import static
from benchmarks.load import CONNECTIONS, rate
from reliquary import __version__

SMALL, LARGE, MEGABYTE = 30, 3000, 1_048_576
FILE = "/generic/local/bench/file.bin"


@dataclass(frozen=True)
class Case:
    """One thing that is measured. ``again`` asks with the validator of the first answer."""

    title: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    again: bool = False


CASES = (
    Case(f"page of {SMALL} files", "/pypi/main/simple/small/"),
    Case(f"page of {SMALL} files, not modified (304)", "/pypi/main/simple/small/", again=True),
    Case(f"page of {LARGE} files, gzip", "/pypi/main/simple/large/", {"Accept-Encoding": "gzip"}),
    Case("file of 1 MiB", FILE),
)


@dataclass(frozen=True)
class Result:
    """Answers a second, of Reliquary and of nginx; ``size`` in bytes of a body."""

    title: str
    size: int
    ours: float
    static: float | None


def project(name: str, files: int) -> bytes:
    """A project page as an upstream sends it (PEP 691), with made-up files."""
    rows = []
    for at in range(files):
        filename = f"{name}-1.{at}-py3-none-any.whl"
        digest = random.Random(f"{name}{at}").randbytes(32).hex()
        rows.append({"filename": filename, "url": f"/files/{filename}", "hashes": {"sha256": digest}, "size": 1000})
    return json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": rows}).encode()


def fill(server: Running) -> None:
    """Publish the file that is measured."""
    answer = server.put(FILE, random.Random(1).randbytes(MEGABYTE))
    if answer.status != 201:
        raise RuntimeError(f"the file was not taken: {answer.status} {answer.text}")


def prepare(server: Running, case: Case) -> Answer:
    """Ask once, so that the answer is warm; what came."""
    answer = server.ask(case.path, headers=case.headers)
    if answer.status != 200:
        raise RuntimeError(f"{case.path} answered {answer.status}: {answer.text[:200]}")
    return answer


def conditions(case: Case, etag: str | None) -> dict[str, str]:
    """The headers to send."""
    return {**case.headers, **({"If-None-Match": etag} if case.again and etag else {})}


def measure(server: Running, root: Path, beside: str | None, seconds: float) -> Iterator[Result]:
    """Every case in turn."""
    for at, case in enumerate(CASES):
        answer = prepare(server, case)
        ours = rate(server.url + case.path[1:], conditions(case, answer.header("etag")), seconds)
        other = None
        if beside is not None:
            (root / str(at)).write_bytes(answer.body)
            url = f"{beside}{at}"
            other = rate(url, conditions(case, static_etag(server, url)), seconds)
        yield Result(case.title, 0 if case.again else len(answer.body), ours, other)


def static_etag(server: Running, url: str) -> str | None:
    """The validator that nginx gives the same bytes."""
    port = int(url.split(":")[2].split("/")[0])
    return Running(server.process, port, server.data, server.log).ask("/" + url.rsplit("/", 1)[1]).header("etag")


def table(results: Sequence[Result]) -> str:
    """The results as lines of Markdown."""
    lines = [
        "| Case | Body, bytes | Reliquary, answers/s | nginx, answers/s | Share of nginx |",
        "|---|--:|--:|--:|--:|",
    ]
    for each in results:
        other = "-" if each.static is None else f"{each.static:.0f}"
        share = "-" if each.static is None else f"{each.ours / each.static:.2f}"
        lines.append(f"| {each.title} | {each.size} | {each.ours:.0f} | {other} | {share} |")
    return "\n".join(lines)


def machine(program: str | None) -> str:
    """What the numbers were taken on."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), platform.machine())
    found = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr if program else ""
    beside = found.strip().rpartition("/")[2] or "absent"
    return (
        f"Reliquary {__version__}, one process, Python {platform.python_version()}; nginx {beside}, one worker; "
        f"{len(os.sched_getaffinity(0))} processors ({model}); wrk, {CONNECTIONS} connections"
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds for each measurement (at most 5)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON alone")
    arguments = parser.parse_args()
    seconds = min(5.0, arguments.seconds)
    if shutil.which("wrk") is None:
        print("nothing measured: wrk is not installed")
        return 0
    program = static.nginx()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reliquary-bench-")))
        upstream = stack.enter_context(playing())
        for name, files in (("small", SMALL), ("large", LARGE)):
            kind = "application/vnd.pypi.simple.v1+json"
            upstream.put(f"/simple/{name}/", project(name, files), content_type=kind)
        config = f'upstreams = {{ pypi = "{upstream.url}simple/" }}\n'
        server = stack.enter_context(running(folder / "var", config=config))
        fill(server)
        beside = stack.enter_context(static.serving(program, folder / "nginx")) if program else None
        results = list(measure(server, folder / "nginx" / "root", beside, seconds))
    if arguments.json:
        print(json.dumps([asdict(each) for each in results]))
    else:
        print(machine(program), table(results), sep="\n\n")
        if beside is None:
            print("\nnothing to compare with: nginx is not installed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
