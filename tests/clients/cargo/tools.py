"""The cargos of this machine, run in a home of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.clients import tools
from tests.clients.tools import Ran, absent

OLDEST = (1, 68)
"""The first version that speaks the sparse protocol."""

TERMINAL = (sys.executable, "-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)")
"""Runs a command at a terminal."""


@dataclass(frozen=True)
class Toolchain:
    """A cargo, and the rustc beside it if there is one.

    Args:
        version: as cargo tells it: ``1.95.0``, ``1.97.0-nightly``.
        folder: where its programs lie.
    """

    version: str
    folder: Path

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor."""
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)


@dataclass(frozen=True)
class Home(tools.Home):
    """A home folder where cargo finds no settings but those of the test."""

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a client: no way out of loopback, nothing of the machine's cargo or rustup."""
        own = {"CARGO_HOME": str(self.path / ".cargo"), "CARGO_TARGET_DIR": str(self.path / "target")}
        # A project that forgets its settings must not reach the public registry.
        walls = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
        walls |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        switches = {
            "CARGO_NET_RETRY": "0",
            "CARGO_HTTP_TIMEOUT": "20",
            "CARGO_TERM_COLOR": "never",
            "CARGO_TERM_PROGRESS_WHEN": "never",
            "CARGO_INCREMENTAL": "0",
            "CARGO_PROFILE_DEV_DEBUG": "0",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        return super().environment(own | walls | switches | dict(more or {}))


@dataclass(frozen=True)
class Cargo:
    """A cargo with a home and registries of its own.

    Args:
        registries: names and index addresses (without ``sparse+``).
        tokens: what it shows to registries, by name.
        replaced: the registry that stands in for the public one.
        providers: whether a credential provider is set up, which registries with ``auth-required`` want.
    """

    toolchain: Toolchain
    home: Home
    registries: Mapping[str, str]
    tokens: Mapping[str, str] = field(default_factory=dict)
    replaced: str | None = None
    providers: bool = True

    @property
    def folder(self) -> Path:
        """CARGO_HOME."""
        return self.home.path / ".cargo"

    @property
    def config(self) -> str:
        """config.toml."""
        lines = [f'[registries.{name}]\nindex = "sparse+{url}"\n' for name, url in self.registries.items()]
        lines += ['[registry]\nglobal-credential-providers = ["cargo:token"]\n'] if self.providers else []
        lines += [f'[source.crates-io]\nreplace-with = "{self.replaced}"\n'] if self.replaced else []
        return "\n".join(lines)

    def run(
        self,
        *words: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        fails: bool = False,
        timeout: float = 100,
        told: str | None = None,
        terminal: bool = False,
    ) -> Ran:
        """Run cargo with these words; see `Home.run`.

        Args:
            told: what it reads from its standard input.
            terminal: it is asked at a terminal, where it says more.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.toml").write_text(self.config)
        environment = {f"CARGO_REGISTRIES_{name.upper()}_TOKEN": token for name, token in self.tokens.items()}
        environment["PATH"] = f"{self.toolchain.folder}{os.pathsep}{os.environ.get('PATH', '')}"
        command: tuple[str | Path, ...] = (self.toolchain.folder / "cargo", *words)
        if told is not None:
            environment["TOLD"] = told
            command = ("sh", "-c", 'printf "%s\\n" "$TOLD" | "$@"', "sh", *(TERMINAL if terminal else ()), *command)
        return self.home.run(*command, cwd=cwd, env=environment | dict(env or {}), fails=fails, timeout=timeout)

    def needs(self, minor: int) -> None:
        """Skip the test where this cargo is older than 1.``minor``."""
        if self.toolchain.number < (1, minor):
            absent(f"cargo {self.toolchain.version} cannot do this yet")

    def needs_compiler(self) -> None:
        """Skip the test where nothing can be built."""
        for name in ("rustc", "cc"):
            if not (self.toolchain.folder / name).is_file() and shutil.which(name) is None:
                absent(f"there is no {name} on this machine")


@cache
def installed() -> tuple[Toolchain, ...]:
    """One toolchain of each version on this machine, the default one first."""
    made: dict[str, Toolchain] = {}
    for path in _cargos():
        found = re.match(r"cargo (\S+)", _said(str(path), "--version"))
        if found and (toolchain := Toolchain(found[1], path.parent)).number >= OLDEST:
            made.setdefault(toolchain.version, toolchain)
    return tuple(made.values())


def versions() -> tuple[str, ...]:
    """What tests of several versions are parametrised with: two words at least, whether they are here or not."""
    found = tuple(toolchain.version for toolchain in installed())
    return found + ("default", "second")[len(found) :]


def toolchain(version: str | None = None) -> Toolchain:
    """The toolchain of a version, None the default one; skips the test where it is not installed."""
    for each in installed():
        if version in (None, each.version):
            return each
    absent("there is no cargo on this machine" if not installed() else "there is only one cargo on this machine")
    raise LookupError(version)


def _cargos() -> Iterator[Path]:
    # rustup's own stand-ins choose by the folder they run in; what they stand for is run instead.
    names = re.findall(r"^(\S+)(.*)$", _said("rustup", "toolchain", "list"), re.MULTILINE)
    for name, _ in sorted(names, key=lambda each: "default" not in each[1]):
        path = Path(_said("rustup", "which", "--toolchain", name, "cargo").strip())
        if path.is_absolute() and path.is_file():
            yield path
    plain = shutil.which("cargo")
    if plain is not None and Path(plain).resolve().name != "rustup":
        yield Path(plain).resolve()


def _said(*command: str) -> str:
    """What a command prints, nothing where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
