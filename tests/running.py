"""A real server in its own process, and a client that sends exactly what a test says."""

from __future__ import annotations

import base64
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

PATIENCE = 30.0
"""Seconds a server may take to become ready or to stop."""


@dataclass(frozen=True)
class Answer:
    """An answer as it came over the wire. Header names are in lower case."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The one header of this name, None when absent; several joined by a comma."""
        found = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(found) if found else None

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class Process(Protocol):
    """A process as `subprocess.Popen` shows it."""

    @property
    def pid(self) -> int:
        """Its id."""

    @property
    def returncode(self) -> int | None:
        """Its exit code once that was asked for; a negative signal when one ended it."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code; raises TimeoutExpired after so many seconds."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""


Spawn: TypeAlias = Callable[[Sequence[str], Mapping[str, str], Path], Process]
"""Runs the command line under test: arguments, environment, the log that takes what it says."""


@dataclass
class Running:
    """A server under test."""

    process: Process
    port: int
    data: Path
    log: Path
    token: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """Its address, with a final slash."""
        return f"http://127.0.0.1:{self.port}/"

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        token: str | None = None,
        timeout: float = 30,
    ) -> Answer:
        """Send one request with exactly this raw path and these headers (and Host)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = basic("__token__", token)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True, skip_host="Host" in sent)
            if body is not None and not {"Content-Length", "Transfer-Encoding"} & sent.keys():
                sent["Content-Length"] = str(len(body))
            for name, value in sent.items():
                connection.putheader(name, value)
            # A server that refuses a body may close before it was sent whole; the answer is there.
            with suppress(BrokenPipeError):
                connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()
            found = [(name.lower(), value) for name, value in response.getheaders()]
            return Answer(response.status, response.reason, found, content)
        finally:
            connection.close()

    def put(self, path: str, body: bytes, **headers: str) -> Answer:
        """PUT as the administrator."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(path, method="PUT", body=body, headers=sent, token=self.token)

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self) -> None:
        """End it as an operator would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()


def basic(user: str, password: str) -> str:
    """An Authorization value."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def reliquary() -> list[str]:
    """The command line under test, of the environment the tests run in."""
    return [sys.executable, "-m", "reliquary"]


def environment(**more: str) -> dict[str, str]:
    """The process environment without settings of our own from outside."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RELIQUARY_")} | more


def spawn(args: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Run the command line under test as a shell would."""
    with log.open("ab") as sink:
        return subprocess.Popen([*reliquary(), *args], stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env=env)


def start(
    data: Path,
    *,
    config: str | None = None,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    by: Spawn = spawn,
) -> Running:
    """Start a server on a data folder and wait until it is ready.

    Args:
        config: text of a settings file; None runs the defaults, discovered upstreams included.
        env: further environment variables.
        by: how its process is made.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    log = data.parent / f"{data.name}.log"
    args = ["serve", "--data", str(data), "--port", str(port)]
    if config is not None:
        path = data.parent / f"{data.name}.toml"
        path.write_text(config)
        args += ["--config", str(path)]
    server = Running(by(args, environment(**(env or {})), log), port, data, log)
    try:
        _wait(server)
        server.token = (data / "admin.token").read_text().strip()
    except BaseException:
        server.kill()
        raise
    return server


def _wait(server: Running) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended at once:\n{server.log.read_text()}")
        try:
            if server.ask("/readyz", timeout=2).status == 200:
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the server did not become ready:\n{server.log.read_text()}")


@contextmanager
def running(
    data: Path, *, config: str | None = None, env: Mapping[str, str] | None = None, by: Spawn = spawn
) -> Iterator[Running]:
    """A server for the length of a ``with`` block."""
    server = start(data, config=config, env=env, by=by)
    try:
        yield server
    finally:
        server.stop()
