"""Kellnr, built by the machine's own cargo, and started as its documentation says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.running import free_port

from benchmarks.playmates import serving
from benchmarks.tools import TOOLS, environment

NAME = "kellnr"
WANTED = (NAME, "--version", "~6.3", "--locked", "--no-default-features", "--features", "openssl")
"""What is installed: later versions need a compiler later than 1.95. With the machine's own OpenSSL, since building one
more takes minutes."""
ASIDE = ("cargo", "gix", "libgit2-sys", "curl-sys")
"""Parts that answer none of what is measured (they build documentation and speak to others): not worth optimising."""
PATIENCE = 3600
"""Seconds that the build may take: it is of some 600 crates."""
TOKEN = "made-up-for-the-benchmark-012345"
"""The administrator's, of as many characters as Kellnr wants."""


@dataclass(frozen=True)
class Side:
    """A registry under test.

    Args:
        index: the root of its index, with a final slash.
        api: where crates are published, without ``/new``.
        dl: where archives are, without ``/{crate}/{version}/download``.
    """

    name: str
    index: str
    api: str
    dl: str
    token: str = field(repr=False)

    def index_file(self, name: str) -> str:
        """Where the index file of a crate is (a name of four characters or more)."""
        return f"{self.index}{name[:2]}/{name[2:4]}/{name}"

    def archive(self, name: str, version: str) -> str:
        """Where a version's archive is."""
        return f"{self.dl}/{name}/{version}/download"


def side(name: str, index: str, token: str) -> Side:
    """A registry by its own ``config.json``."""
    with urllib.request.urlopen(f"{index}config.json", timeout=30) as answer:
        said = json.loads(answer.read())
    return Side(name, index, f"{said['api'].rstrip('/')}/api/v1/crates", said["dl"].rstrip("/"), token)


def provide() -> Path | None:
    """Kellnr's program: the one that is installed here, else one that is built when first asked for; None when it
    cannot be, and standard error says why."""
    if installed := shutil.which(NAME):
        return Path(installed)
    home = TOOLS / f"bench-{NAME}"
    program, done, wanted = home / "bin" / NAME, home / "done", " ".join(WANTED)
    if done.is_file() and done.read_text() == wanted and program.is_file():
        return program
    cargo = shutil.which("cargo")
    if cargo is None:
        print(f"left out: {NAME} needs cargo to be built", file=sys.stderr)
        return None
    print(f"{NAME} is built now, once; that takes half an hour and more", file=sys.stderr)
    command = [cargo, "install", *WANTED, "--root", str(home), "--target-dir", str(home / "target"), "--quiet"]
    for part in ASIDE:
        command += ["--config", f"profile.release.package.{part}.opt-level=0"]
    try:
        home.mkdir(parents=True, exist_ok=True)
        built = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"left out: {NAME} cannot be built: {type(error).__name__}", file=sys.stderr)
        return None
    if built.returncode:
        print(f"left out: {NAME} cannot be built: {hostless(built.stderr)[-500:]}", file=sys.stderr)
        return None
    shutil.rmtree(home / "target", ignore_errors=True)
    done.write_text(wanted)
    return program


@contextmanager
def kellnr(program: Path, folder: Path) -> Iterator[Side]:
    """Kellnr with an empty store, for the length of a ``with`` block."""
    folder.mkdir(parents=True)
    port = free_port()
    env = environment(
        folder,
        KELLNR_REGISTRY__DATA_DIR=str(folder / "data"),
        KELLNR_LOCAL__IP="127.0.0.1",
        KELLNR_LOCAL__PORT=str(port),
        KELLNR_ORIGIN__PORT=str(port),
        KELLNR_SETUP__ADMIN_TOKEN=TOKEN,
        KELLNR_PROXY__ENABLED="false",
        KELLNR_DOCS__ENABLED="false",
        KELLNR_LOG__LEVEL="error",
    )
    with serving([str(program), "start"], folder, f"http://127.0.0.1:{port}/", env) as url:
        yield side(NAME, f"{url}api/v1/crates/", TOKEN)


def hostless(text: str) -> str:
    """Text without the hosts in it: whose upstream this machine has is nobody's business."""
    return re.sub(r"https?://[^/\s`]+", "(registry)", text)
