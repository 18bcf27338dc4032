"""cargo resolves, fetches, builds and installs from hosted, proxied and grouped crates."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.clients.cargo.samples import Crate, Dep, workspace
from tests.clients.cargo.upstream import registry
from tests.clients.cargo.world import MOSTLY_GROUP, NAME, World, fetched, locked, other, project, series, used
from tests.clients.relay import relaying

pytestmark = pytest.mark.client


@pytest.mark.parametrize("kind", MOSTLY_GROUP)
def test_fetch_then_build_without_a_network(kind: str, world: World, tmp_path: Path) -> None:
    crates = workspace(f"built-{kind}")
    world.provide(kind, *crates)
    cargo = world.cargo(tmp_path / "home", kind)
    wanted = Dep(f"built-{kind}-cli"), Dep(f"built-{kind}_tests_kit", features=("stored",))
    folder = project(tmp_path / "project", *wanted)
    assert fetched(cargo, folder) == {crate.name: crate.version for crate in crates}
    assert {name: digest for name, (_, digest) in locked(folder).items()} == {
        crate.name: crate.digest for crate in crates
    }
    assert set(used(cargo, folder)) == {crate.marker for crate in crates}
    again = other(cargo, tmp_path / "again")
    before = (folder / "Cargo.lock").read_text()
    again.run("fetch", "--locked", cwd=folder)
    assert (folder / "Cargo.lock").read_text() == before
    asked = {path: count for path, count in world.played.asked.items() if f"built-{kind}" in path and "/dl/" in path}
    assert set(asked.values()) <= {1}, asked


@pytest.mark.parametrize("kind", ["proxy", "group"])
def test_a_proxied_index_file_is_the_upstream_s(kind: str, world: World) -> None:
    name = f"Verbatim_{kind}"
    world.played.offer(*series(name, "1.0.0", "0.9.0", "1.0.1+b"), novelty={"kept": [1, None, "é"]})
    world.played.offer(Crate(name, "2.0.0"), pubtime="2026-01-02T03:04:05Z")
    path = world.played.index_path(name)
    answer = world.ask("GET", kind, path)
    assert answer.status == 200
    assert answer.text == world.played.text(name)


def test_short_names_and_capitals(world: World, tmp_path: Path) -> None:
    names = ("q", "qz", "qzx", "Capital_Name")
    crates = [Crate(name, "1.0.0+meta") for name in names]
    world.publish(*crates[::2])
    world.played.offer(*crates[1::2])
    cargo = world.cargo(tmp_path / "home")
    folder = project(tmp_path / "project", *map(Dep, names))
    assert fetched(cargo, folder) == dict.fromkeys(names, "1.0.0+meta")


@pytest.mark.parametrize("kind", MOSTLY_GROUP)
def test_a_misspelt_name_is_put_right(kind: str, world: World, tmp_path: Path) -> None:
    name = f"well-spelt-{kind}"
    world.provide(kind, Crate(name))
    cargo = world.cargo(tmp_path / "home", kind)
    world.played.forget()
    wrong = f"well_spelt-{kind}"
    said = cargo.run("fetch", cwd=project(tmp_path / "project", Dep(wrong)), fails=True).output
    assert wrong in said
    assert re.search(rf"(perhaps you meant|similar names): +{name}\b", said), said
    assert max(world.played.asked.values(), default=0) <= 1, world.played.asked


def test_a_crate_that_is_nowhere(world: World, tmp_path: Path) -> None:
    cargo = world.cargo(tmp_path / "home")
    said = cargo.run("fetch", cwd=project(tmp_path / "project", Dep("nobody-made-this")), fails=True).output
    assert "no matching package named `nobody-made-this` found" in said, said
    assert "location searched" in said


@pytest.mark.parametrize("kind", MOSTLY_GROUP)
def test_info_and_search(kind: str, world: World, tmp_path: Path) -> None:
    name = f"sought-after-{kind}"
    world.provide(kind, *series(name, "1.0.0", "1.2.0", features={"fast": []}))
    cargo = world.cargo(tmp_path / "home", kind)
    found = cargo.run("search", name, "--registry", NAME).output
    assert f'{name} = "' in found, found
    nothing = cargo.run("search", "nobody-made-this", "--registry", NAME).output
    assert "=" not in nothing
    cargo.needs(82)
    told = cargo.run("info", name, "--registry", NAME).output
    assert "version: 1.2.0" in told, told
    assert "fast" in told
    assert "license: MIT" in told


def test_search_tells_how_many_there_are(world: World, tmp_path: Path) -> None:
    world.publish(*(Crate(f"plenty-own-{number}") for number in range(3)))
    world.played.offer(*(Crate(f"plenty-{number}") for number in range(9)))
    cargo = world.cargo(tmp_path / "home")
    few = cargo.run("search", "plenty", "--limit", "4", "--registry", NAME).output
    lines = [line.split(" = ")[0] for line in few.splitlines() if " = " in line]
    assert len(lines) == 4
    assert set(lines[:3]) == {"plenty-own-0", "plenty-own-1", "plenty-own-2"}, few
    assert "and 8 crates more" in few, few
    every = cargo.run("search", "plenty", "--limit", "100", "--registry", NAME).output
    names = [line.split(" = ")[0] for line in every.splitlines() if " = " in line]
    assert len(names) == len(set(names)) == 12, every


@pytest.mark.parametrize("kind", MOSTLY_GROUP)
def test_install_a_program(kind: str, world: World, tmp_path: Path) -> None:
    leaf, tool = Crate(f"cog-{kind}", "1.1.0"), f"tool-{kind}"
    tools = series(tool, "0.9.0", "1.2.0", deps=(Dep(leaf.name),), command=True)
    world.provide("hosted" if kind == "hosted" else "proxy", leaf)
    if kind == "proxy":
        world.played.offer(*tools)
    for crate in tools if kind != "proxy" else ():
        # The manifest inside says which registry it needs: cargo itself writes it.
        author = world.cargo(tmp_path / "author", kind, token=True)
        folder = crate.write(tmp_path / crate.marker, NAME)
        author.run("publish", "--no-verify", "--registry", NAME, cwd=folder)
    # A public manifest needs the public registry, so that must be replaced.
    cargo = world.cargo(tmp_path / "home", kind, replaced=kind == "proxy")
    cargo.needs_compiler()
    root = tmp_path / "root"
    cargo.run("install", tool, "--registry", NAME, "--root", root)
    assert cargo.home.run(root / "bin" / tool).output.split() == [f"{tool}@1.2.0", leaf.marker]
    cargo.run("install", f"{tool}@0.9.0", "--registry", NAME, "--root", root)
    assert cargo.home.run(root / "bin" / tool).output.split() == [f"{tool}@0.9.0", leaf.marker]


def test_new_versions_are_seen(world: World, tmp_path: Path) -> None:
    crates = series("growing", "1.0.0", "1.0.1", "1.1.0", "2.0.0")
    world.publish(crates[0])
    cargo = world.cargo(tmp_path / "home")
    folder = project(tmp_path / "project", Dep("growing"))
    assert fetched(cargo, folder) == {"growing": "1.0.0"}
    # Within one second: a date alone would not tell them apart.
    world.publish(crates[1])
    cargo.run("update", cwd=folder)
    assert locked(folder)["growing"][0] == "1.0.1"
    world.publish(crates[2], crates[3])
    cargo.run("update", cwd=folder)
    assert locked(folder)["growing"][0] == "1.1.0"
    cargo.run("update", "growing", "--precise", "1.0.0", cwd=folder)
    assert locked(folder)["growing"][0] == "1.0.0"


@pytest.mark.parametrize("kind", MOSTLY_GROUP)
def test_what_did_not_change_is_not_sent_again(kind: str, world: World, tmp_path: Path) -> None:
    crates = [Crate(f"steady-{letter}-{kind}") for letter in "abc"]
    world.provide(kind, *crates)
    folder = project(tmp_path / "project", *(Dep(crate.name) for crate in crates))
    address = world.url(kind).removeprefix(world.server.url)
    with relaying(world.server.port, cut=1 << 40, suffix="") as relay:
        url = f"http://127.0.0.1:{relay.port}/{address}"
        cargo = other(world.cargo(tmp_path / "home"), tmp_path / "home", {NAME: url})
        assert fetched(cargo, folder) == {crate.name: "1.0.0" for crate in crates}
        relay.heads.clear()
        relay.statuses.clear()
        cargo.run("update", cwd=folder)
        assert sorted(relay.statuses) == [200, 304, 304, 304], relay.heads


def test_what_the_upstream_changes_is_seen(world: World, tmp_path: Path) -> None:
    crates = series("shifting", "1.0.0", "1.0.1", "1.0.2")
    world.played.offer(*crates[:2])
    cargo = world.cargo(tmp_path / "home", "brisk")
    folder = project(tmp_path / "project", Dep("shifting"))
    assert fetched(cargo, folder) == {"shifting": "1.0.1"}
    world.played.yank(crates[1])
    cargo.run("update", cwd=folder)
    assert locked(folder)["shifting"][0] == "1.0.0"
    world.played.offer(crates[2])
    cargo.run("update", cwd=folder)
    assert locked(folder)["shifting"][0] == "1.0.2"
    world.played.yank(crates[1], False)
    world.played.yank(crates[2])
    cargo.run("update", cwd=folder)
    assert locked(folder)["shifting"][0] == "1.0.1"


def test_a_crate_that_the_upstream_took_away(world: World, tmp_path: Path) -> None:
    """cargo.md, edge case 54."""
    crate = Crate("vanishing")
    world.played.offer(crate)
    cargo = world.cargo(tmp_path / "home", "brisk")
    folder = project(tmp_path / "project", Dep(crate.name))
    assert fetched(cargo, folder) == {crate.name: "1.0.0"}
    world.played.remove(crate)
    assert world.ask("GET", "brisk", world.played.index_path(crate.name)).status == 404
    cargo.run("update", cwd=folder, fails=True)


def test_what_is_here_is_served_while_the_upstream_is_ill(world: World, tmp_path: Path) -> None:
    crate = Crate("steadfast")
    world.played.offer(crate)
    cargo = world.cargo(tmp_path / "home", "brisk")
    folder = project(tmp_path / "project", Dep(crate.name))
    assert fetched(cargo, folder) == {crate.name: "1.0.0"}
    for path in (world.played.index_path(crate.name), world.played.file_path(crate)):
        world.played.fail(path, 500)
    (folder / "Cargo.lock").unlink()
    assert fetched(other(cargo, tmp_path / "again"), folder) == {crate.name: "1.0.0"}


def test_forged_bytes_are_not_passed_on(world: World, tmp_path: Path) -> None:
    crate = Crate("counterfeit")
    world.played.offer(crate)
    world.played.forge(crate)
    cargo = world.cargo(tmp_path / "home")
    folder = project(tmp_path / "project", Dep(crate.name))
    for reader in (cargo, other(cargo, tmp_path / "again")):
        reader.run("fetch", cwd=folder, fails=True)
        assert not list(reader.folder.glob("registry/cache/*/*.crate"))


def test_the_token_of_a_client_stays_here(world: World, tmp_path: Path) -> None:
    crate = Crate("tight-lipped")
    world.played.offer(crate)
    cargo = world.cargo(tmp_path / "home", closed=True, token=True)
    folder = project(tmp_path / "project", Dep(crate.name))
    with registry() as storage:
        storage.offer(crate)
        world.played.moved = storage.url
        try:
            assert fetched(cargo, folder) == {crate.name: "1.0.0"}
        finally:
            world.played.moved = None
        assert storage.asked[storage.file_path(crate)] == 1
        asked = [*world.played.headers.values(), *storage.headers.values()]
    assert not any(world.server.token in " ".join(headers.values()) for headers in asked)


def test_offline_uses_what_was_fetched(world: World, tmp_path: Path) -> None:
    old, new = series("remembered", "1.0.0", "1.1.0")
    world.publish(old)
    cargo = world.cargo(tmp_path / "home")
    assert fetched(cargo, project(tmp_path / "first", Dep("remembered"))) == {"remembered": "1.0.0"}
    world.publish(new)
    folder = project(tmp_path / "second", Dep("remembered"))
    cargo.run("generate-lockfile", "--offline", cwd=folder)
    assert locked(folder)["remembered"][0] == "1.0.0"
    unknown = project(tmp_path / "third", Dep("never-fetched"))
    said = cargo.run("generate-lockfile", "--offline", cwd=unknown, fails=True).output
    assert "never-fetched" in said
    shutil.rmtree(cargo.folder / "registry")
    cargo.run("fetch", "--offline", cwd=folder, fails=True)
