"""The short form: the newest npm, pnpm and Yarn publish, install and keep lock files; `test_matrix` has the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.npm.clients import required
from tests.clients.npm.samples import Sample
from tests.clients.npm.world import World

pytestmark = pytest.mark.client


@pytest.mark.parametrize("name", ["npm", "pnpm", "yarn"])
def test_a_package_published_through_the_group_installs_at_once(name: str, world: World, tmp_path: Path) -> None:
    leaf = Sample(f"quick-{name}-leaf", "1.4.0")
    tree = Sample(f"@quick-{name}/tree", "1.0.0", dependencies={leaf.name: "^1.0.0"})
    world.played.offer(leaf)
    world.client(name, tmp_path / "author", token=True).publish(tree, tmp_path / "package")
    client = world.client(name, tmp_path / "reader")
    folder = client.project(tmp_path / "project")
    client.install(folder, f"{tree.name}@^1.0.0")
    assert required(client.home, folder, tree.name) == [tree.marker, leaf.marker]
    lock = (folder / client.lockfile).read_text()
    assert leaf.integrity in lock or name == "yarn"  # Yarn has sums of its own
    assert world.played.host not in lock


@pytest.mark.parametrize("name", ["npm", "pnpm", "yarn"])
def test_a_lock_file_installs_into_an_empty_home(name: str, world: World, tmp_path: Path) -> None:
    leaf = Sample(f"@quick-{name}/locked-leaf", "1.4.0")
    tree = Sample(f"quick-{name}-locked", "1.0.0", dependencies={leaf.name: "^1.0.0"})
    world.played.offer(leaf)
    world.played.offer(tree)
    first = world.client(name, tmp_path / "first")
    folder = first.project(tmp_path / "project", {tree.name: "^1.0.0"})
    first.install(folder, f"{tree.name}@^1.0.0")
    world.played.offer(leaf, Sample(leaf.name, "1.5.0"))
    second = world.client(name, tmp_path / "second")
    again = second.project(tmp_path / "again")
    for kept in ("package.json", first.lockfile):
        (again / kept).write_bytes((folder / kept).read_bytes())
    second.install_locked(again)
    assert required(second.home, again, tree.name) == [tree.marker, leaf.marker]
    assert world.played.asked[f"{tree.name}/-/{tree.filename}"] == 1
