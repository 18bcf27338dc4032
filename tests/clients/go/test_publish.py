"""Module zips put by curl, and had by the go command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.go.conftest import World
from tests.clients.tools import Home, command
from tests.formats.go.artefacts import h1, module_zip
from tests.formats.go.conftest import place

pytestmark = pytest.mark.client
PATH = "corp.example.com/Curled"


@pytest.mark.parametrize("at", ["local", "main"])
@pytest.mark.parametrize("where", ["exact", "upload", "folder", "version"])
def test_what_curl_puts_is_had_at_once(world: World, tmp_path: Path, at: str, where: str) -> None:
    path = f"{PATH}/{at}/{where}"
    body = module_zip(path, "v1.2.3")
    file = tmp_path / "v1.2.3.zip"
    file.write_bytes(body)
    address = {"exact": place(path, "v1.2.3"), "upload": "upload", "folder": "", "version": "v1.2.3.zip"}[where]
    login = f"__token__:{world.server.token}"
    said = Home(tmp_path / "curl").run(
        command("curl"), "-fsS", "-u", login, "-T", file, f"{world.server.url}go/{at}/{address}"
    )
    assert said.output.splitlines()[0] == f"{path} v1.2.3 {h1(body)}"
    assert world.go(tmp_path / "go").download(f"{path}@latest") == {f"{path}@v1.2.3": h1(body)}


def test_an_older_version_comes_after_a_newer_one(world: World, tmp_path: Path) -> None:
    path = f"{PATH}/order"
    world.provide("hosted", path, "v1.10.0")
    world.provide("hosted", path, "v1.9.0")
    assert world.go(tmp_path).module(f"{path}@latest")["Version"] == "v1.10.0"
