"""Real package clients: installed once beside the environment of the tests, run in a home of their own."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = Path(sys.prefix) / "tools"
"""Where clients are kept: it goes with the environment, and no test writes there."""

REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "pip": ("pip",),
    "pip23": ("pip==23.3.*",),
    "pip24": ("pip==24.3.*",),
    "pip25": ("pip==25.3.*",),
    "uv": ("uv",),
    "twine": ("twine",),
    "poetry": ("poetry",),
    "pdm": ("pdm[locked]",),  # the newest of what it asks for do not always fit
    "hatch": ("hatch",),
    "flit": ("flit",),
    "bandersnatch": ("bandersnatch",),
    "devpi": ("devpi-server",),
}


@dataclass(frozen=True)
class Ran:
    """What a client did: its exit code, and everything it printed."""

    code: int
    output: str


@dataclass(frozen=True)
class Home:
    """A home folder where a client finds no settings but those of the test."""

    path: Path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a client: nothing of the machine's own settings passes."""
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        places = {
            "HOME": "",
            "XDG_CACHE_HOME": "cache",
            "XDG_CONFIG_HOME": "config",
            "XDG_DATA_HOME": "data",
            "XDG_STATE_HOME": "state",
            "PIP_CACHE_DIR": "cache/pip",
            "UV_CACHE_DIR": "cache/uv",
        }
        switches = {
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "COLUMNS": "400",
            "NO_PROXY": "*",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_RETRIES": "1",
            "UV_NO_CONFIG": "true",
            "UV_HTTP_RETRIES": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "POETRY_VIRTUALENVS_IN_PROJECT": "true",
            "POETRY_KEYRING_ENABLED": "false",
            "POETRY_NO_INTERACTION": "1",
            "PDM_CHECK_UPDATE": "false",
            "PDM_NON_INTERACTIVE": "1",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }
        own = {name: str(self.path / place) for name, place in places.items()}
        return kept | own | switches | dict(more or {})

    def run(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        fails: bool = False,
        timeout: float = 120,
    ) -> Ran:
        """Run a client to its end.

        Args:
            env: variables beside those of `environment`.
            fails: it must end with an error, where otherwise it must not.
            timeout: seconds.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                [str(each) for each in command],
                cwd=cwd or self.path,
                env=self.environment(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            printed = error.output.decode("utf-8", "replace") if isinstance(error.output, bytes) else error.output
            pytest.fail(f"not done after {timeout} seconds\n{printed}")
        assert (done.returncode != 0) is fails, f"exit code {done.returncode}\n{done.stdout}"
        return Ran(done.returncode, done.stdout)


def absent(reason: str) -> None:
    """A client is missing here: the test is skipped, but fails where everything must be proved."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(reason)
    pytest.skip(reason)


def tool(name: str) -> Path:
    """The folder with a client's commands, installed when it is first asked for."""
    with locked(TOOLS / "lock"):
        _provide("uv")
        problem = _provide(name)
    if problem:
        absent(f"{name} cannot be installed: {problem}")
    return TOOLS / f"{name}-venv" / "bin"


def command(name: str) -> Path:
    """A command of the machine itself."""
    found = shutil.which(name)
    if found is None:
        absent(f"{name} is not on this machine")
    return Path(found or name)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes away from what is being installed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _provide(name: str) -> str | None:
    """Install a client where it is not yet; what went wrong, or None."""
    home = TOOLS / f"{name}-venv"
    ready, wanted = home / "ready", "\n".join(REQUIREMENTS[name])
    if ready.is_file() and ready.read_text() == wanted:
        return None
    problem = _install(home, name)
    if problem is None:
        ready.write_text(wanted)
    return problem


def _install(home: Path, name: str) -> str | None:
    """Make an environment with a client; the last lines of what went wrong, or None."""
    python, fast = str(home / "bin" / "python"), str(TOOLS / "uv-venv" / "bin" / "uv")
    wanted = REQUIREMENTS[name]
    shutil.rmtree(home, ignore_errors=True)
    if name != "uv" and Path(fast).is_file():
        # uv is quick but reads none of pip's settings: where those matter it fails, and pip is asked.
        quick = [
            [fast, "venv", "--quiet", "--python", sys.executable, str(home)],
            [fast, "pip", "install", "--quiet", "--python", python, *wanted],
        ]
        if carried_out(quick, {**os.environ, "UV_CACHE_DIR": str(TOOLS / "cache"), "UV_HTTP_RETRIES": "0"}) is None:
            return None
        shutil.rmtree(home, ignore_errors=True)
    slow = [
        [sys.executable, "-m", "venv", str(home)],
        [python, "-m", "pip", "install", "--quiet", "--upgrade", *wanted],
    ]
    return carried_out(slow, os.environ)


def carried_out(steps: list[list[str]], env: Mapping[str, str]) -> str | None:
    """Run commands until one fails; the last lines of what it said, or None."""
    for step in steps:
        try:
            done = subprocess.run(step, env=env, capture_output=True, text=True, timeout=150, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{type(error).__name__} at {step[0]}"
        if done.returncode:
            return " ".join((done.stderr or done.stdout).strip().splitlines()[-2:])
    return None
