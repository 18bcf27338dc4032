"""The go commands of this machine, run in a home of their own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.clients import tools
from tests.clients.tools import Ran, absent

USUAL = ("/usr/local/go/bin/go", "/usr/lib/go/bin/go")
"""Where it is beside PATH."""


@dataclass(frozen=True)
class Command:
    """A go command.

    Args:
        version: as it tells it: ``1.26.1``.
        path: the program.
    """

    version: str
    path: Path

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor."""
        major, minor = re.findall(r"[0-9]+", self.version)[:2]
        return int(major), int(minor)


@dataclass(frozen=True)
class Go:
    """A go command with a home of its own, and what it is pointed at.

    Args:
        proxy: GOPROXY.
        sums: GOSUMDB.
        private: GONOSUMDB.
        builds: GOCACHE, where compiled packages are kept; tests may share it.
    """

    command: Command
    home: tools.Home
    proxy: str
    sums: str = "off"
    private: str = ""
    builds: Path | None = None
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        """GOMODCACHE."""
        return self.home.path / "go" / "pkg" / "mod"

    def environment(self) -> dict[str, str]:
        """All that it is told beside its words: nothing of the machine's own settings, no way out of loopback."""
        return {
            "GOPROXY": self.proxy,
            "GOSUMDB": self.sums,
            "GONOSUMDB": self.private,
            "GOPATH": str(self.home.path / "go"),
            "GOMODCACHE": str(self.cache),
            "GOCACHE": str(self.builds or self.home.path / "builds"),
            "GOENV": "off",
            "GOFLAGS": "-modcacherw",
            "GOTOOLCHAIN": "local",
            "GOVCS": "*:off",
            "GOPRIVATE": "",
            "GONOPROXY": "",
            "GOINSECURE": "",
            "GOWORK": "off",
            "CGO_ENABLED": "0",
            **self.more,
        }

    def run(self, *words: str, cwd: Path | None = None, fails: bool = False, timeout: float = 100) -> Ran:
        """Run it with these words, in an empty module where no folder is given; see `Home.run`."""
        folder = cwd or project(self.home.path / "empty")
        return self.home.run(
            self.command.path, *words, cwd=folder, env=self.environment(), fails=fails, timeout=timeout
        )

    def module(self, asked: str, *words: str) -> dict[str, Any]:
        """What ``go list -m`` tells of a module, or of one of its versions."""
        (told,) = _documents(self.run("list", "-m", "-json", *words, asked).output)
        return told

    def download(self, *asked: str, cwd: Path | None = None) -> dict[str, str]:
        """Download modules; the h1 of each, by ``path@version``."""
        found = _documents(self.run("mod", "download", "-json", *asked, cwd=cwd).output)
        return {f"{each['Path']}@{each['Version']}": each["Sum"] for each in found}


def _documents(said: str) -> list[dict[str, Any]]:
    """The JSON objects in what it printed, between lines that tell of its progress."""
    plain = "\n".join(line for line in said.splitlines() if not line.startswith("go: "))
    return [json.loads(part) for part in re.split(r"(?<=^\})$", plain, flags=re.MULTILINE) if part.strip()]


def project(folder: Path, *requires: str, imports: tuple[str, ...] = (), prints: str = "") -> Path:
    """Make a program.

    Args:
        requires: ``path version`` of what its go.mod names.
        imports: packages it imports.
        prints: an expression whose value it prints.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["module example.com/program", "", "go 1.21", *(f"require {each}" for each in requires)]
    (folder / "go.mod").write_text("\n".join([*lines, ""]))
    if imports:
        named = "\n".join(f'\t"{each}"' for each in imports)
        main = f"package main\n\nimport (\n{named}\n)\n\nfunc main() {{ println({prints}) }}\n"
        (folder / "main.go").write_text(main)
    return folder


@cache
def installed() -> tuple[Command, ...]:
    """One of each version on this machine, the first on PATH first."""
    made: dict[str, Command] = {}
    for path in _programs():
        try:
            done = subprocess.run([path, "env", "GOVERSION"], capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            version = done.stdout.strip().removeprefix("go")
            made.setdefault(version, Command(version, path))
    return tuple(made.values())


def command(version: str | None = None) -> Command:
    """The go command of a version, None the default one; skips the test where it is not installed."""
    for each in installed():
        if version in (None, each.version):
            return each
    absent("there is no go on this machine" if not installed() else "there is only one go on this machine")
    raise LookupError(version)


def _programs() -> Iterator[Path]:
    found = shutil.which("go")
    names = [found] if found else []
    names += [*USUAL, *map(str, sorted(Path("/usr/lib").glob("go-*/bin/go"), reverse=True))]
    names += map(str, sorted((Path.home() / "sdk").glob("go*/bin/go"), reverse=True))
    yield from (Path(name) for name in dict.fromkeys(names) if Path(name).is_file())
