"""The real upstream of this machine, as a server without any settings finds it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.tools import Home, absent, tool
from tests.running import Running, running, start

pytestmark = [pytest.mark.client, pytest.mark.real]

PACKAGE, DEPENDENCY = "jinja2", "markupsafe"
INSTALLERS = ("pip", "uv")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server without settings, whose upstream answers; skips where there is none."""
    with running(tmp_path_factory.mktemp("real") / "var") as server:
        answer = server.ask(f"/pypi/upstream/simple/{DEPENDENCY}/", timeout=60)
        if answer.status == 404 and b"no repository" in answer.body:
            pytest.skip("this machine has no upstream")
        if answer.status != 200:
            absent(f"the upstream of this machine does not answer: {answer.status} {answer.reason}")
        yield server


def install(client: str, home: Home, server: Running, target: Path) -> None:
    """Without the client's own cache, so that every byte comes from the server."""
    index = f"{server.url}pypi/main/simple/"
    if client == "pip":
        pip = (tool("pip") / "python", "-m", "pip", "install", "--no-cache-dir", "--only-binary", ":all:")
        home.run(*pip, "--index-url", index, "--target", target, PACKAGE)
    else:
        uv = (tool("uv") / "uv", "pip", "install", "--no-cache", "--no-build", "--python", sys.executable)
        home.run(*uv, "--default-index", index, "--target", target, PACKAGE)
    assert (target / "jinja2" / "__init__.py").is_file()
    assert (target / "markupsafe" / "__init__.py").is_file()


def test_install_and_install_again_without_the_upstream(found: Running, tmp_path: Path) -> None:
    for client in INSTALLERS:
        install(client, Home(tmp_path / client), found, tmp_path / "first" / client)
    found.stop()
    again = start(found.data, env={"RELIQUARY_OFFLINE": "true"})
    try:
        for client in INSTALLERS:
            install(client, Home(tmp_path / f"{client}-again"), again, tmp_path / "second" / client)
        assert again.ask("/pypi/main/simple/nobody-made-this-name/").status == 404
    finally:
        again.stop()
    assert "Traceback" not in found.log.read_text()
