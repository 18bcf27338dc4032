"""An upstream of pages and wheels as a process of its own: ``python -m benchmarks.offering WHEELS SIZE``.

A thread of the measuring process would share its interpreter lock with the client whose time is taken, and
delay those answers most that stream while the upstream still sends.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.clients.samples import Sample, offer
from tests.running import PATIENCE
from tests.upstreams import playing

from benchmarks import reads


def wheels(count: int, size: int) -> list[Sample]:
    """The project ``wheels``; the bytes of the same file differ from process to process.

    Args:
        size: bytes of each, and a few hundred more.
    """
    return [Sample("wheels", f"1.{at}", padding=size) for at in range(count)]


@contextmanager
def serving(count: int, size: int) -> Iterator[str]:
    """The upstream for the length of a ``with`` block; its root, with a final slash. The index is ``full/simple/``."""
    command = [sys.executable, "-m", "benchmarks.offering", str(count), str(size)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip() if process.stdout else ""
        if not url:
            raise RuntimeError("the upstream did not start")
        yield url
    finally:
        process.communicate(timeout=PATIENCE)


def main(count: int, size: int) -> None:
    """Serve until standard input ends."""
    with playing() as upstream:
        reads.offer(upstream, "/full/simple/")
        offer(upstream, *wheels(count, size))
        print(upstream.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
