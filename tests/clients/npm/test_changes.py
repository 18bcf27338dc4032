"""What authors change after a publish, with every client that can: deprecation, tags, owners, stars, removal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.clients.npm.clients import CLIENTS, required
from tests.clients.npm.samples import Sample
from tests.clients.npm.world import World

pytestmark = [pytest.mark.client, pytest.mark.matrix]

TAGGERS = [name for name, client in CLIENTS.items() if client.tags]
DEPRECATORS = ["npm", "npm11", "pnpm"]


@pytest.mark.parametrize("name", DEPRECATORS)
def test_a_deprecated_version_warns(name: str, world: World, tmp_path: Path) -> None:
    old, new = Sample(f"@{name}-stale/old", "1.0.0"), Sample(f"@{name}-stale/old", "2.0.0")
    world.publish(old)
    world.publish(new)
    before = world.document(old.name)
    author = world.client(name, tmp_path / "author", token=True)
    author.run("deprecate", f"{old.name}@1", "use 2, it is better")
    told = world.document(old.name)
    assert told["versions"]["1.0.0"]["deprecated"] == "use 2, it is better"
    assert "deprecated" not in told["versions"]["2.0.0"]
    assert {key: told["time"][key] for key in ("created", "1.0.0", "2.0.0")} == {
        key: before["time"][key] for key in ("created", "1.0.0", "2.0.0")
    }
    for reader in CLIENTS:
        client = world.client(reader, tmp_path / reader)
        folder = client.project(tmp_path / reader / "project")
        said = client.install(folder, f"{old.name}@1.0.0").output
        assert required(client.home, folder, old.name) == [old.marker]
        if reader in ("npm", "npm11", "pnpm10", "yarn1"):
            assert "use 2, it is better" in said, reader


@pytest.mark.parametrize("name", DEPRECATORS)
def test_a_deprecation_is_taken_back(name: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"pardoned-{name}")
    world.publish(sample)
    author = world.client(name, tmp_path / "author", token=True)
    author.run("deprecate", sample.name, "broken")
    assert world.document(sample.name)["versions"]["1.0.0"]["deprecated"] == "broken"
    author.run(*(("undeprecate", sample.name) if name == "pnpm" else ("deprecate", sample.name, "")))
    assert not world.document(sample.name)["versions"]["1.0.0"].get("deprecated")


@pytest.mark.parametrize("scope", ["", "@tags/"], ids=["unscoped", "scoped"])
@pytest.mark.parametrize("name", TAGGERS)
def test_tags_are_set_listed_and_taken_away(name: str, scope: str, world: World, tmp_path: Path) -> None:
    old, new = Sample(f"{scope}tagged-{name}", "1.0.0"), Sample(f"{scope}tagged-{name}", "2.0.0")
    world.publish(old)
    world.publish(new)
    author = world.client(name, tmp_path / "author", token=True)
    words = author.tags
    assert words is not None
    folder = author.project(tmp_path / "empty")
    add, remove, show = (each.split() for each in words)
    author.run(*add, f"{old.name}@1.0.0", "lts", cwd=folder)
    assert world.document(old.name)["dist-tags"] == {"latest": "2.0.0", "lts": "1.0.0"}
    listed = author.run(*show, old.name, cwd=folder).output
    told = set(re.findall(r"\b(lts|latest)\b\W+(\d\.\d\.\d)\b", listed))
    assert {("lts", "1.0.0"), ("latest", "2.0.0")} <= told, listed
    reader = world.client(name, tmp_path / "reader")
    project = reader.project(tmp_path / "project")
    reader.install(project, f"{old.name}@lts")
    assert required(reader.home, project, old.name) == [old.marker]
    author.run(*remove, old.name, "lts", cwd=folder)
    assert world.document(old.name)["dist-tags"] == {"latest": "2.0.0"}


@pytest.mark.parametrize("name", ["npm", "npm11", "pnpm"])
def test_one_version_is_removed(name: str, world: World, tmp_path: Path) -> None:
    samples = [Sample(f"@{name}-gone/leaf", version) for version in ("1.0.0", "1.1.0")]
    for sample in samples:
        world.publish(sample)
    author = world.client(name, tmp_path / "author", token=True)
    author.run("unpublish", f"{samples[0].name}@1.1.0", "--force")
    left = world.document(samples[0].name)
    assert list(left["versions"]) == ["1.0.0"]
    assert left["dist-tags"] == {"latest": "1.0.0"}
    gone = world.ask("GET", "group", f"{samples[1].name}/-/{samples[1].filename}")
    assert gone.status == 404
    reader = world.client(name, tmp_path / "reader")
    folder = reader.project(tmp_path / "project")
    reader.install(folder, samples[0].name)
    assert required(reader.home, folder, samples[0].name) == [samples[0].marker]
    reader.install(reader.project(tmp_path / "other"), f"{samples[0].name}@1.1.0", fails=True)


@pytest.mark.parametrize("name", ["npm", "npm11", "pnpm"])
def test_a_package_is_removed(name: str, world: World, tmp_path: Path) -> None:
    samples = [Sample(f"vanished-{name}", version) for version in ("1.0.0", "1.1.0")]
    for sample in samples:
        world.publish(sample)
    author = world.client(name, tmp_path / "author", token=True)
    author.run("unpublish", samples[0].name, "--force")
    for kind in ("hosted", "group"):
        assert world.ask("GET", kind, samples[0].name).status == 404
        assert world.ask("GET", kind, f"{samples[0].name}/-/{samples[0].filename}").status == 404


@pytest.mark.parametrize("name", ["npm", "npm11", "pnpm", "yarn1"])
def test_owners_are_listed(name: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"owned-{name}")
    world.publish(sample)
    maintainers = world.document(sample.name)["maintainers"]
    assert maintainers
    author = world.client(name, tmp_path / "author", token=True)
    said = author.run("owner", "list" if name == "yarn1" else "ls", sample.name).output
    assert maintainers[0]["name"] in said


# pnpm 12 asks addresses of its own registry server; Yarn 1 reads the short document, which names no owners,
# and so would send the new one alone.
@pytest.mark.parametrize("name", ["npm", "npm11"])
def test_an_owner_comes_and_goes(name: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"@{name}-shared/leaf")
    world.publish(sample)
    before = world.document(sample.name)
    author = world.client(name, tmp_path / "author", token=True)
    author.run("owner", "add", "bob", sample.name)
    shared = world.document(sample.name)
    assert [each["name"] for each in shared["maintainers"]] == ["admin", "bob"]
    assert shared["versions"].keys() == before["versions"].keys()
    author.run("owner", "remove" if name == "yarn1" else "rm", "bob", sample.name)
    assert world.document(sample.name)["maintainers"] == before["maintainers"]


@pytest.mark.parametrize("name", ["npm11", "pnpm"])
def test_a_package_gets_a_star(name: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"starred-{name}")
    world.publish(sample)
    before = world.document(sample.name)
    author = world.client(name, tmp_path / "author", token=True)
    author.run("star", sample.name)
    after = world.document(sample.name)
    assert after["versions"] == before["versions"]
    assert len(after.get("users", {})) == 1
    author.run("unstar", sample.name)
    assert not world.document(sample.name).get("users")


@pytest.mark.parametrize("name", ["npm", "npm11", "pnpm", "pnpm10", "yarn", "bun"])
def test_who_am_i(name: str, world: World, tmp_path: Path) -> None:
    known = world.client(name, tmp_path / "known", token=True)
    assert "admin" in known.whoami().output
    world.client(name, tmp_path / "stranger").whoami(fails=True)
