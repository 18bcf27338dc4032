"""The played upstream is one for every client: what the matrix proves of a server rests on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.npm.clients import CLIENTS, required
from tests.clients.npm.samples import Sample
from tests.clients.npm.tools import Home
from tests.clients.npm.upstream import Registry, registry

pytestmark = [pytest.mark.client, pytest.mark.matrix]


@pytest.fixture(scope="module")
def played() -> Iterator[Registry]:
    with registry() as made:
        yield made


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_installs_from_the_played_upstream(name: str, played: Registry, tmp_path: Path) -> None:
    leaf = Sample(f"@s{name}/leaf", "1.2.0")
    tree = Sample(f"tree-{name}", "1.1.0", dependencies={leaf.name: "^1.0.0"})
    newer = Sample(tree.name, "2.0.0-rc.1", dependencies={leaf.name: "^1.0.0"})
    played.offer(leaf, unconventional=True)
    played.offer(tree, newer, tags={"latest": "1.1.0", "next": "2.0.0-rc.1"})
    client = CLIENTS[name](Home(tmp_path / "home"), played.url)
    folder = client.project(tmp_path / "project")
    client.install(folder, f"{tree.name}@^1.0.0", f"{leaf.name}@latest")
    assert required(client.home, folder, tree.name) == [tree.marker, leaf.marker]
    assert (folder / client.lockfile).is_file()
    other = client.project(tmp_path / "other")
    client.install(other, f"{tree.name}@next")
    assert required(client.home, other, tree.name) == [newer.marker, leaf.marker]
