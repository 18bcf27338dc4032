"""Many short-lived processes of the program: forked from one that has imported everything already.

Each is a process of its own and runs the command line from its entry point on; only reading the
modules from the disk, a second each time, is saved.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from tests.running import environment

PRELOADED = (
    *("reliquary.cli", "reliquary.cli.serving", "alembic.command", "sqlalchemy.dialects.sqlite.pysqlite"),
    *("alembic.config", "uvloop", "uvicorn.lifespan.on", "uvicorn.loops.uvloop", "logging.config"),
    *("rich.progress", "encodings.idna", "encodings.ascii", "encodings.unicode_escape"),
)


class Forked:
    """A process that `Forks` started, used like a `subprocess.Popen`."""

    def __init__(self, forks: Forks, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._forks = forks
        self._ended = os.pidfd_open(pid)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, a negative signal when one ended it; raises TimeoutExpired after so many seconds."""
        if self.returncode is None:
            watch = select.poll()
            watch.register(self._ended, select.POLLIN)
            if not watch.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = self._forks.reap(self.pid)
            os.close(self._ended)
        return self.returncode

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)


class Forks:
    """The process that forks, for the length of a ``with`` block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        command = [sys.executable, "-m", "tests.faults.forks"]
        path = os.pathsep.join(each for each in sys.path if each)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(PYTHONPATH=path)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=30)

    def _ask(self, question: dict[str, Any]) -> int:
        sink, source = self._process.stdin, self._process.stdout
        assert sink is not None and source is not None
        with self._lock:
            sink.write(json.dumps(question).encode() + b"\n")
            sink.flush()
            return int(source.readline())

    def spawn(self, args: Sequence[str], env: Mapping[str, str], log: Path) -> Forked:
        """Run ``reliquary`` with these arguments and this environment; what it says goes to the log."""
        return Forked(self, self._ask({"args": list(args), "env": dict(env), "log": str(log)}))

    def run(
        self, args: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, *, timeout: float = 60
    ) -> tuple[int, str]:
        """Run a command to its end: its exit code and what it said. The log lies in ``folder``."""
        log = folder / f"{args[0]}.out"
        log.unlink(missing_ok=True)
        process = self.spawn(args, environment(**(env or {})), log)
        try:
            return process.wait(timeout), log.read_text()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout)

    def verify(self, data: Path) -> None:
        """The program's own verification of a data folder that `start` made finds nothing."""
        args = ["verify", "--data", str(data), "--config", str(data.parent / f"{data.name}.toml")]
        code, said = self.run(args, data.parent, timeout=120)
        assert code == 0, said

    def reap(self, pid: int) -> int:
        """The exit code of a process that ended."""
        return self._ask({"reap": pid})


def _main() -> None:
    """Take orders from standard input until it ends, then end what still runs."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    children: set[int] = set()
    for line in sys.stdin.buffer:
        order = json.loads(line)
        if "reap" in order:
            children.discard(order["reap"])
            answer = os.waitstatus_to_exitcode(os.waitpid(order["reap"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                _run(order)
            children.add(answer)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _run(order: dict[str, Any]) -> NoReturn:
    """Become a process as a shell would have started it."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["reliquary", *order["args"]]
    code = 0
    try:
        importlib.import_module("reliquary.cli").main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
    except BaseException:
        traceback.print_exc()
        code = 1
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _main()
