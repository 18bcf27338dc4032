"""One server with go repositories, the module proxy and the checksum database behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.go.database import Database
from tests.clients.go.tools import Go, command
from tests.clients.tools import Home
from tests.formats.go import conftest as short
from tests.formats.go.artefacts import module_zip
from tests.running import Running, running
from tests.upstreams import Upstream, playing

KINDS = ("hosted", "proxy", "group")
PLACES = {"hosted": "local", "proxy": "upstream", "group": "main"}

CONFIG = """
upstreams = {{ go = "{url}", cargo = "none", npm = "none", pypi = "none" }}
page_life = 0
stale_for = 0
negative_life = 0
retries = 0

[[repositories]]
format = "go"
name = "closed"
kind = "hosted"
anonymous_read = false

[[users]]
name = "bob"
password = "p@ss:w/rd"
"""


@dataclass(frozen=True)
class World:
    """A running server, the upstream behind its proxies, and its checksum database."""

    server: Running
    played: Upstream
    database: Database
    builds: Path

    def url(self, kind: str = "group") -> str:
        """What GOPROXY is set to."""
        return f"{self.server.url}go/{PLACES.get(kind, kind)}"

    def go(self, folder: Path, kind: str = "group", **more: Any) -> Go:
        """A go command pointed at a repository, with an empty home in this folder."""
        return Go(command(more.pop("version", None)), Home(folder), self.url(kind), builds=self.builds, **more)

    def provide(
        self, kind: str, path: str, *versions: str, tags: str | None = None, best: str | None = None, **more: Any
    ) -> dict[str, bytes]:
        """Put versions of a module to where a repository has its modules from; their zips.

        Args:
            tags, best: what an upstream's list and ``@latest`` say, see `tests.formats.go.conftest.lay`.
            more: goes to `module_zip`.
        """
        if kind == "proxy":
            made = short.lay(self.played, path, *versions, tags=tags, best=best, **more)
            self.database.add(path, made, more.get("mod"))
            self.database.lay(self.played)
            return made
        made = {version: module_zip(path, version, **more) for version in versions}
        for version, body in made.items():
            answer = short.send(self.server, "PUT", short.place(path, version), body)
            assert answer.status == 201, answer.text
        return made


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The server, and what stands behind it."""
    folder = tmp_path_factory.mktemp("go")
    with playing() as played, running(folder / "var", config=CONFIG.format(url=played.url)) as server:
        yield World(server, played, Database(), folder / "builds")
        assert "Traceback" not in server.log.read_text()
