"""One manner of speaking to every JavaScript client: what a test wants done, in each one's own words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tests.clients.npm.samples import Sample
from tests.clients.npm.tools import Home, entry, start
from tests.clients.tools import Ran


@dataclass(frozen=True)
class Client:
    """A client in a home of its own, whose only registry is the one at ``url``.

    Args:
        url: with a final slash.
        token: what it shows to the registry, if anything.
    """

    home: Home
    url: str
    token: str | None = None

    name: ClassVar[str]
    lockfile: ClassVar[str]
    add: ClassVar[tuple[str, ...]] = ("add",)
    frozen: ClassVar[tuple[str, ...]] = ("install", "--frozen-lockfile")
    upload: ClassVar[tuple[str, ...]] = ("publish",)
    tags: ClassVar[tuple[str, str, str] | None] = None
    """The words that set, remove and list dist-tags, for who can."""

    @property
    def bare(self) -> str:
        """The registry's address as settings name credentials: without its scheme."""
        return self.url.partition(":")[2]

    def settings(self) -> Mapping[str, str]:
        """Files of the home and what they hold."""
        lines = [f"registry={self.url}"]
        if self.token is not None:
            lines += [f"{self.bare}:_authToken={self.token}"]
        return {".npmrc": "\n".join([*lines, ""])}

    def local(self) -> Mapping[str, str]:
        """Files of every project and what they hold."""
        return {}

    def run(
        self, *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, fails: bool = False
    ) -> Ran:
        """Run the client with these words, for a minute at most; see `Home.run`."""
        self.home.path.mkdir(parents=True, exist_ok=True)
        for name, text in self.settings().items():
            (self.home.path / name).parent.mkdir(exist_ok=True)
            (self.home.path / name).write_text(text)
        return self.home.run(*start(self.name), *words, cwd=cwd, env=env, fails=fails, timeout=60)

    def project(self, folder: Path, dependencies: Mapping[str, str] | None = None) -> Path:
        """Make a project that installs into itself; returns its folder."""
        folder.mkdir(parents=True, exist_ok=True)
        about = {"name": "project", "version": "0.0.0", "private": True, "license": "MIT"}
        (folder / "package.json").write_text(json.dumps(about | {"dependencies": dict(dependencies or {})}))
        for name, text in self.local().items():
            (folder / name).write_text(text)
        return folder

    def install(self, folder: Path, *wanted: str, fails: bool = False) -> Ran:
        """Add packages (``name@range`` or ``name@tag``) to a project and install them."""
        return self.run(*self.add, *wanted, cwd=folder, fails=fails)

    def install_locked(self, folder: Path, *, fails: bool = False) -> Ran:
        """Install what the lock file says, and nothing else."""
        return self.run(*self.frozen, cwd=folder, fails=fails)

    def publish(self, sample: Sample, folder: Path, *, tag: str | None = None, fails: bool = False) -> Ran:
        """Lay a package in a folder and publish it from there."""
        sample.write(folder)
        for name, text in self.local().items():
            (folder / name).write_text(text)
        self.prepare(folder)
        chosen = ("--tag", tag) if tag else ()
        return self.run(*self.upload, *chosen, cwd=folder, fails=fails)

    def prepare(self, folder: Path) -> None:
        """Do what the client wants done in a package's folder before it publishes."""

    def whoami(self, *, fails: bool = False) -> Ran:
        """Ask the registry who is there."""
        return self.run("whoami", fails=fails)

    def view(self, wanted: str, folder: Path, *, fails: bool = False) -> Ran:
        """Show a package."""
        return self.run("view", wanted, "--json", cwd=folder, fails=fails)


class Npm(Client):
    """npm, the newest major."""

    name = "npm"
    lockfile = "package-lock.json"
    add = ("install",)
    frozen = ("ci",)
    tags = ("dist-tag add", "dist-tag rm", "dist-tag ls")


class Npm11(Npm):
    """npm, the major before."""

    name = "npm11"


class Pnpm(Client):
    """pnpm, the newest major: a native program."""

    name = "pnpm"
    lockfile = "pnpm-lock.yaml"
    upload = ("publish", "--no-git-checks")
    tags = ("dist-tag add", "dist-tag rm", "dist-tag ls")


class Pnpm10(Pnpm):
    """pnpm, written in JavaScript."""

    name = "pnpm10"


class Yarn1(Client):
    """Yarn classic."""

    name = "yarn1"
    lockfile = "yarn.lock"
    add = ("add", "--non-interactive", "--no-progress")
    frozen = ("install", "--frozen-lockfile", "--non-interactive", "--no-progress")
    upload = ("publish", "--non-interactive", "--no-git-tag-version")
    tags = ("tag add", "tag remove", "tag list")

    def settings(self) -> Mapping[str, str]:
        # It takes the registry from its own file, credentials and whether to show them always from npm's.
        shown = "always-auth=true\n" if self.token is not None else ""
        own = f'registry "{self.url}"\ndisable-self-update-check true\n'
        return {".npmrc": super().settings()[".npmrc"] + shown, ".yarnrc": own}

    def publish(self, sample: Sample, folder: Path, *, tag: str | None = None, fails: bool = False) -> Ran:
        sample.write(folder)
        chosen = ("--tag", tag) if tag else ()
        return self.run(*self.upload, "--new-version", sample.version, *chosen, cwd=folder, fails=fails)

    def whoami(self, *, fails: bool = False) -> Ran:
        raise NotImplementedError("Yarn 1 has no such command")

    def view(self, wanted: str, folder: Path, *, fails: bool = False) -> Ran:
        return self.run("info", wanted, "--json", cwd=folder, fails=fails)


class Yarn(Client):
    """Yarn modern."""

    name = "yarn"
    lockfile = "yarn.lock"
    frozen = ("install", "--immutable")
    upload = ("npm", "publish")
    tags = ("npm tag add", "npm tag remove", "npm tag list")

    def settings(self) -> Mapping[str, str]:
        lines = [
            f'npmRegistryServer: "{self.url.rstrip("/")}"',
            'unsafeHttpWhitelist: ["127.0.0.1"]',
            "nodeLinker: node-modules",
            "enableTelemetry: false",
            "enableScripts: false",
            "npmMinimalAgeGate: 0",
            "httpRetry: 0",
        ]
        if self.token is not None:
            lines += [f'npmAuthToken: "{self.token}"', "npmAlwaysAuth: true"]
        return {".yarnrc.yml": "\n".join([*lines, ""])}

    def local(self) -> Mapping[str, str]:
        # Without a lock file of its own a folder counts as part of a project above it.
        return {"yarn.lock": ""}

    def prepare(self, folder: Path) -> None:
        # It packs nothing that its lock file does not know.
        self.run("install", "--mode=update-lockfile", cwd=folder)

    def whoami(self, *, fails: bool = False) -> Ran:
        return self.run("npm", "whoami", fails=fails)

    def view(self, wanted: str, folder: Path, *, fails: bool = False) -> Ran:
        return self.run("npm", "info", wanted, "--json", cwd=folder, fails=fails)


class Bun(Client):
    """Bun."""

    name = "bun"
    lockfile = "bun.lock"

    def settings(self) -> Mapping[str, str]:
        shown = "" if self.token is None else f', token = "{self.token}"'
        text = f'[install]\nregistry = {{ url = "{self.url}"{shown} }}\nminimumReleaseAge = 0\n'
        return {"config/.bunfig.toml": text}

    def whoami(self, *, fails: bool = False) -> Ran:
        return self.run("pm", "whoami", fails=fails)

    def view(self, wanted: str, folder: Path, *, fails: bool = False) -> Ran:
        return self.run("info", wanted, "--json", cwd=folder, fails=fails)


CLIENTS: Mapping[str, type[Client]] = {each.name: each for each in (Npm, Npm11, Pnpm, Pnpm10, Yarn1, Yarn, Bun)}


def required(home: Home, folder: Path, name: str) -> list[str]:
    """The markers that node gets from an installed package; see `Sample`."""
    ran = home.run(entry("node"), "-p", f"JSON.stringify(require({json.dumps(name)}))", cwd=folder)
    found: Any = json.loads(ran.output)
    assert isinstance(found, list)
    return [str(each) for each in found]
