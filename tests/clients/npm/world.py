"""The repositories that tests point clients at, and how packages come into them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from tests.clients.npm.clients import CLIENTS, Client
from tests.clients.npm.samples import Sample
from tests.clients.npm.tools import Home
from tests.clients.npm.upstream import Registry
from tests.running import Answer, Running

Kind: TypeAlias = Literal["hosted", "proxy", "group"]

OPEN = {"hosted": "local", "proxy": "upstream", "group": "main"}
CLOSED = {"hosted": "closed", "proxy": "closed-upstream", "group": "closed-main"}

CONFIG = """
upstreams = {{ npm = "{url}" }}

[[repositories]]
format = "npm"
name = "closed"
kind = "hosted"
anonymous_read = false

[[repositories]]
format = "npm"
name = "closed-upstream"
kind = "proxy"
upstream = "{url}"
anonymous_read = false

[[repositories]]
format = "npm"
name = "closed-main"
kind = "group"
members = ["closed", "closed-upstream"]
anonymous_read = false

[[users]]
name = "bob"
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
        return f"{self.server.url}npm/{(CLOSED if closed else OPEN)[kind]}/"

    def client(
        self, name: str, folder: Path, kind: str = "group", *, closed: bool = False, token: bool = False
    ) -> Client:
        """A client pointed at a repository, with an empty home in this folder; ``token``: the administrator's."""
        return CLIENTS[name](Home(folder), self.url(kind, closed=closed), self.server.token if token else None)

    def publish(self, sample: Sample, *, tag: str = "latest", closed: bool = False) -> None:
        """Publish to the hosted repository, without any client."""
        body = json.dumps(sample.document(tag)).encode()
        done = self.ask("PUT", "hosted", quote(sample.name, safe="@"), body=body, closed=closed)
        assert done.status == 201, done.text

    def ask(self, method: str, kind: str, path: str, *, body: bytes | None = None, closed: bool = False) -> Answer:
        """Send a request below a repository, as the administrator."""
        address = self.url(kind, closed=closed).removeprefix(self.server.url)
        headers = {"Authorization": f"Bearer {self.server.token}", "Content-Type": "application/json"}
        return self.server.ask(f"/{address}{path}", method=method, headers=headers, body=body)

    def document(self, name: str, kind: str = "group") -> dict[str, Any]:
        """A package's full document."""
        answer = self.ask("GET", kind, quote(name, safe="@"))
        assert answer.status == 200, answer.text
        found: Any = json.loads(answer.body)
        assert isinstance(found, dict)
        return found
