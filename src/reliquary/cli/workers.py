"""Several processes on one port: started, watched, replaced, stopped together."""

from __future__ import annotations

import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import structlog

from reliquary.cli.common import Failure
from reliquary.settings import Settings

log = structlog.get_logger("reliquary.workers")
BACKLOG = 2048
TICK = 0.1
"""Seconds between two looks at the workers."""
SETTLED = 10.0
"""Seconds after which a worker that dies did not die of its start."""
MOST_FAILURES = 6
"""Workers in a row that die at once before all is given up: some three seconds with the pauses. One
that says itself that it cannot start counts twice: the next is not likely to fare better."""
LONGEST_PAUSE = 2.0
GRACE = 60.0
"""Seconds a worker may take to stop: answers under way, then downloads, then the tidying."""
COMMAND = (sys.executable, "-P", "-c", "from reliquary.cli.serving import main; main()")


@dataclass
class Worker:
    """A process that serves, when it was started (monotonic seconds), and where it writes its counters."""

    process: subprocess.Popen[bytes]
    started: float
    figures: Path


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """A socket for each worker, all on one port, among which the kernel spreads connections.

    Workers that accepted from one socket would share badly: the first to wake takes all that came.

    Raises:
        Failure: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Not shared: a port that another server of ours listens on must be refused, not divided.
        with socket.create_server((host, port), family=family) as probe:
            port = probe.getsockname()[1]
        address = (host, port)
        return [socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=True) for _ in range(count)]
    except OSError as error:
        raise Failure(f"could not listen on {host}:{port}: {error.strerror or error}") from error


class Workers:
    """A worker process for each listening socket. A dead one's socket stays open, and what
    connected meanwhile waits for the next.

    Args:
        keep: further descriptors that each worker holds as long as it lives.
    """

    def __init__(self, settings: Settings, listening: Sequence[socket.socket], keep: Sequence[int] = ()) -> None:
        self._settings = settings
        self._listening = tuple(listening)
        self._keep = tuple(keep)
        self._folder = settings.data / "run"
        self._workers: dict[socket.socket, Worker] = {}
        self._number = 0
        self._failures = 0
        self._not_before = 0.0
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop all workers.

        Raises:
            Failure: workers die at once, again and again.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._signals():
            try:
                self._watch()
            finally:
                self._stop()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {each: signal.signal(each, self._told_to_stop) for each in signals}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _told_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _watch(self) -> None:
        while not self._stopping:
            for listening in self._listening:
                worker = self._workers.get(listening)
                if worker is not None and worker.process.poll() is not None:
                    del self._workers[listening]
                    self._bury(worker)
                if listening not in self._workers and time.monotonic() >= self._not_before:
                    self._workers[listening] = self._start(listening.fileno())
            time.sleep(TICK)

    def _start(self, listening: int) -> Worker:
        # Imported late: the parent itself needs nothing of the server.
        from reliquary.cli.serving import Post

        descriptors = (listening, *self._keep)
        process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, pass_fds=descriptors)  # noqa: S603 - a constant command
        post = Post(self._settings, listening, self._folder / f"{self._number}.json")
        self._number += 1
        if process.stdin is not None:
            # A worker that died already is found by the next look.
            with suppress(BrokenPipeError):
                process.stdin.write(pickle.dumps(post))
                process.stdin.flush()
        return Worker(process, time.monotonic(), post.figures)

    def _bury(self, worker: Worker) -> None:
        """Decide when the next one may start."""
        from reliquary.cli.serving import NOT_STARTED
        from reliquary.web.tally import ended

        _close(worker)
        ended(worker.figures)
        lived = time.monotonic() - worker.started
        weight = 2 if worker.process.returncode == NOT_STARTED else 1
        self._failures = 0 if lived > SETTLED else self._failures + weight
        log.error("worker died", pid=worker.process.pid, code=worker.process.returncode, seconds=round(lived, 1))
        if self._failures >= MOST_FAILURES:
            raise Failure("the workers die as they start; the lines above say why")
        pause = min(0.1 * 2**self._failures, LONGEST_PAUSE) if self._failures else 0.0
        self._not_before = time.monotonic() + pause

    def _stop(self) -> None:
        """End the workers; they finish what they are at, within bounds."""
        # Before they stop accepting: whoever connects now is refused, and does not wait for nobody.
        for listening in self._listening:
            listening.close()
        for worker in self._workers.values():
            worker.process.terminate()
        until = time.monotonic() + GRACE
        for worker in self._workers.values():
            try:
                worker.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("worker did not stop and is killed", pid=worker.process.pid)
                worker.process.kill()
                worker.process.wait()
            _close(worker)


def _close(worker: Worker) -> None:
    if worker.process.stdin is not None:
        with suppress(BrokenPipeError):
            worker.process.stdin.close()
