"""The repositories that tests point cargo at, and how crates come into them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import pytest

from tests.clients.cargo.samples import Crate, Dep, app, prefix
from tests.clients.cargo.tools import Cargo, Home, toolchain
from tests.clients.cargo.upstream import Registry
from tests.running import Answer, Running

Kind: TypeAlias = Literal["hosted", "proxy", "group"]

KINDS: tuple[Kind, ...] = ("hosted", "proxy", "group")
MOSTLY_GROUP = (*(pytest.param(kind, marks=pytest.mark.matrix) for kind in KINDS[:2]), "group")
"""Every kind, those that a group is made of in the long form alone."""
OPEN = {"hosted": "local", "proxy": "upstream", "group": "main", "second": "second", "brisk": "brisk"}
CLOSED = {"hosted": "closed", "proxy": "closed-upstream", "group": "closed-main"}

NAME = "reliquary"
"""What settings of cargo call the repository. ``second`` is another hosted one, ``brisk`` never keeps pages."""

CONFIG = """
upstreams = {{ cargo = "{url}", pypi = "none", npm = "none", go = "none" }}

[[repositories]]
format = "cargo"
name = "second"
kind = "hosted"

[[repositories]]
format = "cargo"
name = "brisk"
kind = "proxy"
upstream = "{url}"
page_life = 0

[[repositories]]
format = "cargo"
name = "closed"
kind = "hosted"
anonymous_read = false

[[repositories]]
format = "cargo"
name = "closed-upstream"
kind = "proxy"
upstream = "{url}"
anonymous_read = false

[[repositories]]
format = "cargo"
name = "closed-main"
kind = "group"
members = ["closed", "closed-upstream"]
anonymous_read = false

[[users]]
name = "ann"
password = "p@ss:w/rd"

[[users]]
name = "bob"

[[grants]]
user = "ann"
repositories = "cargo/local"
actions = ["read", "publish"]
"""


def config(url: str) -> str:
    """Settings of a server whose upstream lies at this address."""
    return CONFIG.format(url=url)


@dataclass(frozen=True)
class World:
    """A running server, and the upstream behind its proxies."""

    server: Running
    played: Registry

    def url(self, kind: str, *, closed: bool = False) -> str:
        """A repository's address, with a final slash."""
        return f"{self.server.url}cargo/{(CLOSED if closed else OPEN)[kind]}/"

    def cargo(
        self,
        folder: Path,
        kind: str = "group",
        *,
        version: str | None = None,
        closed: bool = False,
        token: bool = False,
        replaced: bool = False,
    ) -> Cargo:
        """A cargo whose registry ``reliquary`` is a repository, with an empty home in this folder.

        Args:
            token: it shows the administrator's.
            replaced: the repository stands in for the public registry too.
        """
        tokens = {NAME: self.server.token} if token else {}
        registries = {NAME: self.url(kind, closed=closed)}
        return Cargo(toolchain(version), Home(folder), registries, tokens, NAME if replaced else None)

    def provide(self, kind: str, *crates: Crate, closed: bool = False) -> None:
        """Put crates to where a repository has its crates from."""
        if kind == "proxy":
            self.played.offer(*crates)
        else:
            self.publish(*crates, closed=closed)

    def publish(self, *crates: Crate, closed: bool = False) -> None:
        """Publish to the hosted repository, without any client."""
        for crate in crates:
            done = self.ask("PUT", "hosted", "api/v1/crates/new", body=crate.body(), closed=closed)
            assert done.status == 200, done.text

    def ask(self, method: str, kind: str, path: str, *, body: bytes | None = None, closed: bool = False) -> Answer:
        """Send a request below a repository, as the administrator."""
        address = self.url(kind, closed=closed).removeprefix(self.server.url)
        headers = {"Authorization": self.server.token}
        return self.server.ask(f"/{address}{path}", method=method, headers=headers, body=body)

    def lines(self, name: str, kind: str = "group", *, closed: bool = False) -> list[dict[str, Any]]:
        """A crate's index lines; none where there is no such crate."""
        answer = self.ask("GET", kind, quote(f"{prefix(name.lower())}/{name.lower()}"), closed=closed)
        assert answer.status in (200, 404), answer.text
        return [json.loads(line) for line in answer.body.splitlines()] if answer.status == 200 else []


def series(name: str, *versions: str, **more: Any) -> list[Crate]:
    """Versions of one crate."""
    return [Crate(name, version, **more) for version in versions]


def project(folder: Path, *deps: Dep, registry: str | None = NAME) -> Path:
    """Make a program that uses these crates, each from its own registry or this one (None: the public one)."""
    return app(*deps).write(folder, registry)


def locked(folder: Path) -> dict[str, tuple[str, str | None]]:
    """What a lock file has of crates that came from registries: version and checksum, by name."""
    packages = tomllib.loads((folder / "Cargo.lock").read_text())["package"]
    return {each["name"]: (each["version"], each.get("checksum")) for each in packages if "source" in each}


def used(cargo: Cargo, folder: Path) -> list[str]:
    """Build a program of what was fetched, run it, and tell the markers it prints, in order of names."""
    cargo.needs_compiler()
    return sorted(cargo.run("run", "--quiet", "--offline", "--locked", cwd=folder).output.split()[1:])


def fetched(cargo: Cargo, folder: Path) -> dict[str, str]:
    """Fetch what a program uses into an empty lock file; the versions, by name."""
    cargo.run("fetch", cwd=folder)
    return {name: version for name, (version, _) in locked(folder).items()}


def other(cargo: Cargo, folder: Path, registries: Mapping[str, str] | None = None) -> Cargo:
    """The same cargo in another, empty home."""
    return replace(cargo, home=Home(folder), registries=registries or cargo.registries)
