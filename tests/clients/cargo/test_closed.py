"""Repositories that are closed to strangers: ``auth-required``, and the token on every request."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.cargo.samples import Crate, Dep
from tests.clients.cargo.tools import Cargo
from tests.clients.cargo.world import KINDS, MOSTLY_GROUP, NAME, World, fetched, project, used

pytestmark = pytest.mark.client

TO = ("--registry", NAME)


def stranger(world: World, folder: Path, kind: str) -> Cargo:
    return world.cargo(folder, kind, closed=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_opens_index_files_and_api(kind: str, world: World, tmp_path: Path) -> None:
    leaf = Crate(f"locked-leaf-{kind}", "1.1.0")
    tree = Crate(f"locked-tree-{kind}", deps=(Dep(leaf.name),), command=True)
    world.provide(kind, leaf, tree, closed=True)
    cargo = world.cargo(tmp_path / "home", kind, closed=True, token=True)
    folder = project(tmp_path / "project", Dep(tree.name))
    assert fetched(cargo, folder) == {leaf.name: "1.1.0", tree.name: "1.0.0"}
    assert used(cargo, folder) == [leaf.marker, tree.marker]
    assert f'{tree.name} = "1.0.0"' in cargo.run("search", tree.name, *TO).output
    cargo.needs(82)
    assert "version: 1.1.0" in cargo.run("info", leaf.name, *TO, cwd=tmp_path).output


@pytest.mark.parametrize("kind", MOSTLY_GROUP)
def test_strangers_are_told_to_log_in(kind: str, world: World, tmp_path: Path) -> None:
    crate = Crate(f"hidden-{kind}")
    world.provide(kind, crate, closed=True)
    folder = project(tmp_path / "project", Dep(crate.name))
    said = stranger(world, tmp_path / "home", kind).run("fetch", cwd=folder, fails=True).output
    assert "cargo login --registry reliquary" in said, said
    assert not (folder / "Cargo.lock").exists()


@pytest.mark.parametrize("kind", MOSTLY_GROUP)
def test_a_bad_token_opens_nothing(kind: str, world: World, tmp_path: Path) -> None:
    crate = Crate(f"guarded-{kind}")
    world.provide(kind, crate, closed=True)
    folder = project(tmp_path / "project", Dep(crate.name))
    cargo = replace(stranger(world, tmp_path / "home", kind), tokens={NAME: "nobody-gave-this"})
    said = cargo.run("fetch", cwd=folder, fails=True).output
    assert "token rejected for `reliquary`" in said, said
    cargo.run("search", crate.name, *TO, fails=True)


def test_without_a_provider_cargo_says_what_is_missing(world: World, tmp_path: Path) -> None:
    cargo = replace(stranger(world, tmp_path / "home", "hosted"), providers=False)
    folder = project(tmp_path / "project", Dep("anything"))
    said = cargo.run("fetch", cwd=folder, fails=True).output
    assert "authenticated registries require a credential-provider to be configured" in said, said


def test_log_in_to_a_closed_registry(world: World, tmp_path: Path) -> None:
    world.publish(Crate("behind-the-door"), closed=True)
    cargo = stranger(world, tmp_path / "home", "hosted")
    folder = project(tmp_path / "project", Dep("behind-the-door"))
    said = cargo.run("login", *TO, told=world.server.token, terminal=True).output
    assert f"please paste the token found on {world.url('hosted', closed=True)}me below" in said, said
    assert fetched(cargo, folder) == {"behind-the-door": "1.0.0"}
    cargo.run("logout", *TO)
    cargo.run("update", cwd=folder, fails=True)


@pytest.mark.parametrize("kind", ["hosted", "group"])
def test_publish_yank_and_owners_where_tokens_are_required(kind: str, world: World, tmp_path: Path) -> None:
    crate = Crate(f"sealed-{kind}")
    author = world.cargo(tmp_path / "author", kind, closed=True, token=True)
    crate.write(tmp_path / crate.name, NAME)
    said = author.run("publish", "--no-verify", *TO, cwd=tmp_path / crate.name).output
    assert f"Published {crate.name} v1.0.0" in said, said
    author.run("yank", f"{crate.name}@1.0.0", *TO)
    assert [line["yanked"] for line in world.lines(crate.name, kind, closed=True)] == [True]
    assert "admin" in author.run("owner", "--list", crate.name, *TO).output


@pytest.mark.parametrize("kind", KINDS)
def test_auth_required_is_told_exactly_where_it_is(kind: str, world: World) -> None:
    for closed in (False, True):
        answer = world.ask("GET", kind, "config.json", closed=closed)
        assert answer.status == 200
        told = json.loads(answer.body)
        assert told.get("auth-required", False) is closed
        assert told["dl"].startswith(world.url(kind, closed=closed))
        assert told["api"] + "/" == world.url(kind, closed=closed)
        address = world.url(kind, closed=closed).removeprefix(world.server.url)
        assert world.server.ask(f"/{address}config.json").status == (401 if closed else 200)
