"""Verdaccio, installed by the machine's own npm, and where that npm finds its packages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.running import free_port

from benchmarks.playmates import serving
from benchmarks.tools import TOOLS, environment

NAME = "verdaccio"
WANTED = {
    "private": True,
    "dependencies": {NAME: "^6"},
    # It asks for this one by a tag, and some upstreams keep no tags but latest.
    "overrides": {"node-fetch": "^2.6.7"},
}
CONFIG = """\
storage: ./storage
listen: 127.0.0.1:{port}
web: {{enable: false}}
max_body_size: 500mb
auth: {{htpasswd: {{file: ./htpasswd, max_users: -1}}}}
uplinks:
  upstream: {{url: "{upstream}", maxage: 60m, timeout: 60s, max_fails: 1000}}
packages:
  "@*/*": {{access: $all, publish: $all, proxy: upstream}}
  "**": {{access: $all, publish: $all, proxy: upstream}}
middlewares: {{audit: {{enabled: false}}}}
log: {{type: stdout, format: json, level: fatal}}
"""
"""Open to everybody, and slow to ask again: what it has is warm for as long as the run lasts."""


@dataclass(frozen=True)
class Side:
    """A registry under test; ``registry`` is what npm is given, with a final slash."""

    name: str
    registry: str


def direct() -> str | None:
    """The registry of the machine's npm, with a final slash; None where there is no npm or none is named."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    done = subprocess.run(
        [npm, "config", "get", "registry"], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    url = done.stdout.strip()
    return f"{url.rstrip('/')}/" if done.returncode == 0 and url.startswith(("http://", "https://")) else None


def provide() -> Path | None:
    """Verdaccio's program, installed when first asked for; None when it cannot be."""
    home = TOOLS / f"bench-{NAME}"
    program, done, wanted = home / "node_modules" / NAME / "bin" / NAME, home / "done", json.dumps(WANTED)
    if done.is_file() and done.read_text() == wanted and program.is_file():
        return program
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return None
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / "package.json").write_text(wanted)
    command = [npm, "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    try:
        subprocess.run(command, cwd=home, check=True, timeout=300, stdout=sys.stderr)
    except (OSError, subprocess.SubprocessError):
        return None
    done.write_text(wanted)
    return program


@contextmanager
def verdaccio(program: Path, folder: Path, upstream: str) -> Iterator[Side]:
    """Verdaccio with an empty store before ``upstream``, for the length of a ``with`` block."""
    folder.mkdir(parents=True)
    port = free_port()
    (folder / "config.yaml").write_text(CONFIG.format(port=port, upstream=upstream))
    command = [shutil.which("node") or "node", str(program), "--config", str(folder / "config.yaml")]
    with serving(command, folder, f"http://127.0.0.1:{port}/", environment(folder)) as url:
        yield Side(NAME, url)
