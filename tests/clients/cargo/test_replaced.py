"""The group stands in for the public registry, and several registries serve one project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.cargo.samples import Crate, Dep
from tests.clients.cargo.tools import Cargo
from tests.clients.cargo.world import NAME, World, fetched, locked, other, project, series, used

pytestmark = pytest.mark.client


def direct(world: World, cargo: Cargo, folder: Path) -> Cargo:
    """A cargo whose public registry is the upstream itself."""
    made = other(cargo, folder, {"direct": world.played.url})
    return replace(made, replaced="direct", tokens={})


def public(folder: Path, *deps: Dep) -> Path:
    """A program that takes crates from the public registry where nothing else is said."""
    return project(folder, *deps, registry=None)


def test_own_crates_come_before_public_ones(world: World, tmp_path: Path) -> None:
    world.played.offer(*series("eclipsed", "1.0.0", "1.9.0"), *series("eclipsed-twin", "1.9.0"))
    world.played.offer(Crate("unhindered", "1.2.0", deps=(Dep("eclipsed"),)))
    world.publish(Crate("eclipsed", "1.0.1"), Crate("eclipsed_twin", "1.0.2"))
    cargo = world.cargo(tmp_path / "home", replaced=True)
    folder = public(tmp_path / "project", Dep("unhindered"))
    assert fetched(cargo, folder) == {"unhindered": "1.2.0", "eclipsed": "1.0.1"}
    assert used(cargo, folder) == ["eclipsed@1.0.1", "unhindered@1.2.0"]
    assert "127.0.0.1" not in (folder / "Cargo.lock").read_text()
    assert world.lines("eclipsed-twin") == []
    assert fetched(cargo, public(tmp_path / "twin", Dep("eclipsed_twin"))) == {"eclipsed_twin": "1.0.2"}


def test_lock_files_move_between_the_public_registry_and_the_group(world: World, tmp_path: Path) -> None:
    leaf = Crate("moved-leaf", "1.4.0+m", features={"on": []})
    tree = Crate("moved-tree", deps=(Dep(leaf.name, features=("on",)),))
    world.played.offer(leaf, tree)
    inside = world.cargo(tmp_path / "inside", replaced=True)
    outside = direct(world, inside, tmp_path / "outside")
    locks = []
    for number, (first, second) in enumerate([(inside, outside), (outside, inside)]):
        folder = public(tmp_path / f"project-{number}", Dep(tree.name))
        assert fetched(first, folder) == {leaf.name: leaf.version, tree.name: "1.0.0"}
        locks.append((folder / "Cargo.lock").read_text())
        fresh = other(second, tmp_path / f"fresh-{number}")
        fresh.run("fetch", "--locked", cwd=folder)
        assert used(fresh, folder) == [leaf.marker, tree.marker]
    assert locks[0] == locks[1]


def test_a_replaced_source_wants_the_registry_named(world: World, tmp_path: Path) -> None:
    author = world.cargo(tmp_path / "author", replaced=True, token=True)
    world.played.offer(Crate("borrowed", "1.1.0"))
    folder = Crate("lender", deps=(Dep("borrowed"),)).write(tmp_path / "lender")
    said = author.run("publish", "--no-verify", cwd=folder, fails=True).output
    assert "--registry reliquary" in said, said
    said = author.run("publish", "--registry", NAME, cwd=folder).output
    assert "Published lender v1.0.0" in said, said
    (line,) = world.lines("lender")
    # Its dependency is of the public registry, whose address cargo alone knows.
    assert line["deps"][0]["registry"], line
    assert "127.0.0.1" not in line["deps"][0]["registry"]
    reader = world.cargo(tmp_path / "reader", replaced=True)
    program = project(tmp_path / "project", Dep("lender"))
    assert fetched(reader, program) == {"lender": "1.0.0", "borrowed": "1.1.0"}
    assert used(reader, program) == ["borrowed@1.1.0", "lender@1.0.0"]


def test_search_and_install_where_the_source_is_replaced(world: World, tmp_path: Path) -> None:
    world.played.offer(Crate("gadget", "1.1.0", command=True))
    cargo = world.cargo(tmp_path / "home", replaced=True)
    assert 'gadget = "1.1.0"' in cargo.run("search", "gadget", "--registry", NAME).output
    cargo.needs_compiler()
    cargo.run("install", "gadget", "--root", tmp_path / "root")
    assert cargo.home.run(tmp_path / "root" / "bin" / "gadget").output == "gadget@1.1.0\n"


def test_two_registries_in_one_project(world: World, tmp_path: Path) -> None:
    addresses = {"one": world.url("hosted"), "two": world.url("second"), "three": world.url("proxy")}
    tokens = dict.fromkeys(("one", "two"), world.server.token)
    cargo = replace(world.cargo(tmp_path / "home"), registries=addresses, tokens=tokens)
    world.played.offer(Crate("third-leaf", "1.3.0"))
    leaf = Crate("both-leaf", "1.1.0", deps=(Dep("third-leaf", registry="three"),))
    same = Crate("both-leaf", "1.2.0")
    tree = Crate("both-tree", deps=(Dep("both-leaf", registry="one"), Dep("both-leaf", rename="same")))
    for crate, registry in ((leaf, "one"), (same, "two"), (tree, "two")):
        folder = crate.write(tmp_path / registry / crate.name, registry)
        cargo.run("publish", "--no-verify", "--registry", registry, cwd=folder)
    (line,) = world.lines("both-tree", "second")
    assert sorted(str(dep["registry"]) for dep in line["deps"]) == ["None", f"sparse+{addresses['one']}"]
    (line,) = world.lines("both-leaf", "hosted")
    assert line["deps"][0]["registry"] == f"sparse+{addresses['three']}"
    program = project(tmp_path / "project", Dep("both-tree", registry="two"), Dep("both-leaf", registry="two"))
    cargo.run("fetch", cwd=program)
    assert locked(program)["third-leaf"][0] == "1.3.0"
    assert used(cargo, program) == sorted([tree.marker, leaf.marker, "third-leaf@1.3.0", same.marker, same.marker])
