"""Publishing into a small and into a large project, and the first read of the page afterwards."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from tests.clients.samples import Sample
from tests.running import Running, running

from benchmarks.bulk import NONE, prepare
from benchmarks.results import Row, at_most

FEW, MANY = 10, 5000
PART = "Publishing"


def measure(folder: Path, times: int) -> Iterator[Row]:
    """Publish ``times`` files into each, in turn."""
    prepare(folder / "var", {"few": FEW, "many": MANY})
    taken: dict[str, list[tuple[float, float]]] = {"few": [], "many": []}
    with running(folder / "var", config=NONE) as server:
        for at in range(times):
            for name, seconds in taken.items():
                seconds.append(publish(server, Sample(name, f"2.{at}")))
    for index, what in enumerate(("publish", "publish and read the page")):
        few, many = (statistics.median(each[index] for each in taken[name]) * 1000 for name in ("few", "many"))
        yield at_most(PART, f"{what}, file {MANY + 1}", "ms", many, few, f"file {FEW + 1}", 3)


def publish(server: Running, sample: Sample) -> tuple[float, float]:
    """Seconds until the answer, and until the page with the file was read.

    Raises:
        RuntimeError: it was not taken, or is not on the page.
    """
    started = time.monotonic()
    answer = server.put(f"/pypi/local/{sample.filename}", sample.wheel)
    published = time.monotonic()
    page = server.ask(f"/pypi/local/simple/{sample.name}/", headers={"Accept-Encoding": "identity"})
    ended = time.monotonic()
    if answer.status != 201 or sample.filename not in page.text:
        raise RuntimeError(f"{sample.filename} was answered {answer.status}, its page {page.status}")
    return published - started, ended - started
