"""Repositories that nobody reads unasked, over TLS. Numbers in names are items of go.md, section 8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.clients.go.conftest import World
from tests.clients.go.front import secured
from tests.clients.go.tools import Go
from tests.clients.tools import absent
from tests.formats.go.artefacts import h1, module_zip
from tests.formats.go.conftest import publish
from tests.running import basic

pytestmark = pytest.mark.client
PATH = "corp.example.com/closed"
ASKED = f"{PATH}@v1.0.0"


@dataclass(frozen=True)
class Secured:
    """The closed repository behind TLS.

    Args:
        go: pointed at it, knowing its authority and no credentials.
        url: its server's root.
        token: of the administrator.
    """

    go: Go
    url: str
    token: str


@pytest.fixture
def closed(world: World, tmp_path: Path) -> Iterator[Secured]:
    publish(world.server, PATH, to="closed")
    with secured(world.server.port, tmp_path) as (port, authority):
        url = f"https://localhost:{port}/"
        go = world.go(tmp_path / "home", more={"SSL_CERT_FILE": str(authority), "GOPROXY": f"{url}go/closed"})
        yield Secured(go, url, world.server.token)


def netrc(closed: Secured, login: str, password: str) -> None:
    """Write the user's .netrc; go compares the machine with the port, where it is not the usual one."""
    home, machine = closed.go.home.path, closed.url.split("/")[2]
    home.mkdir(parents=True, exist_ok=True)
    (home / ".netrc").write_text(f"machine {machine} login {login} password {password}\n")


def test_40_a_token_in_netrc_opens_it(closed: Secured) -> None:
    said = closed.go.run("mod", "download", ASKED, fails=True).output
    assert "401 Unauthorized" in said
    netrc(closed, "anything", closed.token)
    assert closed.go.download(ASKED) == {ASKED: h1(module_zip(PATH, "v1.0.0"))}


def test_40_a_wrong_token_is_told_so(closed: Secured) -> None:
    netrc(closed, "anything", "wrong")
    assert "401 Unauthorized" in closed.go.run("mod", "download", ASKED, fails=True).output


def test_who_may_not_read_is_told_so(closed: Secured) -> None:
    netrc(closed, "bob", "p@ss:w/rd")
    assert "403 Forbidden" in closed.go.run("mod", "download", ASKED, fails=True).output


def test_goauth_tells_headers(closed: Secured, tmp_path: Path) -> None:
    program = tmp_path / "credentials"
    login = f"Authorization: {basic('x', closed.token)}"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n\\n%s\\n\\n' '{closed.url}' '{login}'\n")
    program.chmod(0o755)
    go = replace(closed.go, more={**closed.go.more, "GOAUTH": str(program)})
    if go.command.number < (1, 24):
        absent(f"go {go.command.version} has no GOAUTH")
    assert go.download(ASKED) == {ASKED: h1(module_zip(PATH, "v1.0.0"))}
