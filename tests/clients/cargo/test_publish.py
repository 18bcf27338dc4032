"""cargo publishes, yanks, and changes owners."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.cargo.samples import Crate, Dep, lay, workspace
from tests.clients.cargo.tools import Cargo
from tests.clients.cargo.world import NAME, World, fetched, locked, other, project, series, used

pytestmark = pytest.mark.client

TO = ("--registry", NAME)
PUBLISH = ("publish", "--no-verify", *TO)


def publish(cargo: Cargo, crate: Crate, folder: Path, *, fails: bool = False) -> str:
    """Publish a crate from a folder of its own; what cargo said."""
    crate.write(folder / crate.marker, NAME)
    return cargo.run(*PUBLISH, cwd=folder / crate.marker, fails=fails).output


@pytest.mark.parametrize("kind", [pytest.param("hosted", marks=pytest.mark.matrix), "group"])
def test_a_workspace_is_published_one_by_one(kind: str, world: World, tmp_path: Path) -> None:
    crates = workspace(f"serial-{kind}")
    author = world.cargo(tmp_path / "author", kind, token=True)
    folder = lay(crates, tmp_path / "workspace", NAME)
    for crate in crates:
        said = author.run(*PUBLISH, "-p", crate.name, cwd=folder).output
        assert f"Published {crate.name} v{crate.version}" in said, said
        assert "warning: timed out" not in said, said
    reader = world.cargo(tmp_path / "reader", kind)
    wanted = Dep(f"serial-{kind}-cli"), Dep(f"serial-{kind}_tests_kit", features=("stored",))
    program = project(tmp_path / "project", *wanted)
    assert fetched(reader, program) == {crate.name: crate.version for crate in crates}
    assert set(used(reader, program)) == {crate.marker for crate in crates}


def test_index_lines_of_a_published_workspace(world: World, tmp_path: Path) -> None:
    crates = workspace("lined")
    author = world.cargo(tmp_path / "author", "hosted", token=True)
    folder = lay(crates, tmp_path / "workspace", NAME)
    for crate in crates:
        author.run(*PUBLISH, "-p", crate.name, cwd=folder)
        (line,) = world.lines(crate.name, "hosted")
        expected = crate.line()
        on = line["features"] | line.get("features2", {})
        assert on == expected["features"] | expected.get("features2", {})
        assert line["name"] == crate.name
        assert line["vers"] == crate.version
        assert line["yanked"] is False
        assert line.get("links") == crate.links
        assert line.get("rust_version") == crate.rust_version
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["pubtime"])
        assert all(dep.get("registry") is None for dep in line["deps"]), line
        told = {dep["name"]: {key: dep[key] for key in expected["deps"][0]} for dep in line["deps"]}
        wanted = {dep["name"]: dep for dep in expected["deps"]}
        # An author's comma and spaces are cargo's to write.
        assert [each.pop("req").replace(" ", "") for _, each in sorted(told.items())] == [
            each.pop("req").replace(" ", "") for _, each in sorted(wanted.items())
        ]
        assert told == wanted


def test_publish_verifies_and_names_its_registry_itself(world: World, tmp_path: Path) -> None:
    leaf = Crate("verified-leaf", about={"publish": [NAME]})
    tree = Crate("verified-tree", deps=(Dep(leaf.name),), about={"publish": [NAME]})
    author = world.cargo(tmp_path / "author", token=True)
    author.needs_compiler()
    for crate in (leaf, tree):
        said = author.run("publish", cwd=crate.write(tmp_path / crate.name, NAME)).output
        assert "Verifying" in said
        assert f"Published {crate.marker.replace('@', ' v')}" in said, said


def test_a_version_is_published_once(world: World, tmp_path: Path) -> None:
    author = world.cargo(tmp_path / "author", token=True)
    publish(author, Crate("once"), tmp_path)
    before = world.lines("once")
    said = publish(author, Crate("once"), tmp_path, fails=True)
    assert "already exists" in said, said
    # cargo looks before it sends; an older one leaves that to the server.
    for version in ("1.0.0", "1.0.0+again"):
        answer = world.ask("PUT", "group", "api/v1/crates/new", body=Crate("once", version).body())
        assert 400 <= answer.status < 500
        assert f"crate version `{version}` is already uploaded" in json.loads(answer.body)["errors"][0]["detail"]
    assert world.lines("once") == before


def test_a_deleted_version_does_not_come_back_as_another(world: World, tmp_path: Path) -> None:
    author = world.cargo(tmp_path / "author", "hosted", token=True)
    for crate in series("deleted", "1.0.0", "1.1.0"):
        publish(author, crate, tmp_path)
    assert world.ask("DELETE", "hosted", "manage/deleted/1.1.0").status == 204
    folder = project(tmp_path / "project", Dep("deleted"))
    assert fetched(author, folder) == {"deleted": "1.0.0"}
    # cargo no longer sees it, so that it is the server who says no.
    changed = Crate("deleted", "1.1.0", about={"keywords": ["changed"]})
    said = publish(author, changed, tmp_path, fails=True)
    assert "the remote server responded with an error" in said, said
    assert "1.1.0" in said.partition("responded with an error")[2], said
    assert [line["vers"] for line in world.lines("deleted")] == ["1.0.0"]


@pytest.mark.parametrize("name", ["told_apart", "Told-Apart", "TOLD_APART"])
def test_names_that_look_alike_are_refused(name: str, world: World, tmp_path: Path) -> None:
    if not world.lines("told-apart"):
        world.publish(Crate("told-apart"))
    author = world.cargo(tmp_path / "author", token=True)
    said = publish(author, Crate(name, "2.0.0"), tmp_path, fails=True)
    assert "told-apart" in said.replace(name, ""), said
    assert [line["vers"] for line in world.lines("told-apart")] == ["1.0.0"]


def test_a_crate_of_the_upstream_is_not_taken_over(world: World, tmp_path: Path) -> None:
    world.played.offer(Crate("publicly-known"))
    assert world.lines("publicly-known")
    author = world.cargo(tmp_path / "author", token=True)
    said = publish(author, Crate("publicly_known", "9.0.0"), tmp_path, fails=True)
    assert "publicly" in said
    assert [line["vers"] for line in world.lines("publicly-known")] == ["1.0.0"]


def test_nobody_publishes_without_a_token(world: World, tmp_path: Path) -> None:
    said = publish(world.cargo(tmp_path / "author"), Crate("unsigned"), tmp_path, fails=True)
    assert "cargo login --registry reliquary" in said, said
    assert world.lines("unsigned") == []


def test_a_bad_token_is_named(world: World, tmp_path: Path) -> None:
    cargo = world.cargo(tmp_path / "author")
    author = Cargo(cargo.toolchain, cargo.home, cargo.registries, {NAME: "nobody-gave-this"})
    said = publish(author, Crate("badly-signed"), tmp_path, fails=True)
    assert "(status 401 Unauthorized): the token is not known" in said, said
    assert "<html" not in said
    assert world.lines("badly-signed") == []


def test_a_proxy_takes_no_crates(world: World, tmp_path: Path) -> None:
    author = world.cargo(tmp_path / "author", "proxy", token=True)
    said = publish(author, Crate("to-a-proxy"), tmp_path, fails=True)
    assert "the remote server responded with an error" in said, said
    assert world.lines("to-a-proxy") == []


@pytest.mark.parametrize(("name", "words"), [("n" * 65, "64"), ("con", "con"), ("9-lives", "9-lives")])
def test_names_that_cannot_be_are_refused_in_words(name: str, words: str, world: World, tmp_path: Path) -> None:
    answer = world.ask("PUT", "hosted", "api/v1/crates/new", body=Crate(name).body())
    assert 400 <= answer.status < 500
    (error,) = json.loads(answer.body)["errors"]
    assert words in error["detail"], error
    if words == "64":  # cargo itself refuses the others
        author = world.cargo(tmp_path / "author", token=True)
        said = publish(author, Crate(name), tmp_path, fails=True)
        assert error["detail"] in " ".join(said.split()), said


def test_yanked_versions_are_avoided_but_stay(world: World, tmp_path: Path) -> None:
    world.publish(*series("yanked", "1.0.0", "1.0.1"))
    author = world.cargo(tmp_path / "author", token=True)
    folder = project(tmp_path / "project", Dep("yanked"))
    assert fetched(author, folder) == {"yanked": "1.0.1"}
    before = world.lines("yanked")
    said = author.run("yank", "yanked@1.0.1", *TO).output
    assert "Yank yanked@1.0.1" in said, said
    assert world.lines("yanked") == [before[0], before[1] | {"yanked": True}]
    stranger = other(author, tmp_path / "stranger")
    stranger.run("fetch", "--locked", cwd=folder)
    assert used(stranger, folder) == ["yanked@1.0.1"]
    assert fetched(author, project(tmp_path / "new", Dep("yanked"))) == {"yanked": "1.0.0"}
    author.run("update", cwd=folder)
    assert locked(folder)["yanked"][0] == "1.0.0"
    author.run("update", "yanked", "--precise", "1.0.1", cwd=folder)
    assert locked(folder)["yanked"][0] == "1.0.1"
    said = author.run("yank", "yanked@1.0.1", "--undo", *TO).output
    assert "Unyank yanked@1.0.1" in said, said
    assert world.lines("yanked") == before
    assert fetched(stranger, project(tmp_path / "newer", Dep("yanked"))) == {"yanked": "1.0.1"}


def test_yanking_what_is_not_there(world: World, tmp_path: Path) -> None:
    world.publish(Crate("unyankable"))
    author = world.cargo(tmp_path / "author", token=True)
    for wanted in ("unyankable@7.0.0", "nobody-made-this@1.0.0"):
        said = author.run("yank", wanted, *TO, fails=True).output
        assert "404" in said, said
        assert wanted.partition("@")[0] in said.partition("404")[2], said
    stranger = world.cargo(tmp_path / "stranger")
    stranger.run("yank", "unyankable@1.0.0", *TO, fails=True)
    assert world.lines("unyankable")[0]["yanked"] is False


def test_owners_come_and_go(world: World, tmp_path: Path) -> None:
    author = world.cargo(tmp_path / "author", token=True)
    publish(author, Crate("owned"), tmp_path)

    def listed() -> list[str]:
        return author.run("owner", "--list", "owned", *TO, "--quiet").output.split()

    assert "admin" in listed()
    assert "bob" not in listed()
    said = author.run("owner", "--add", "bob", "owned", *TO).output
    assert "bob" in said
    assert {"admin", "bob"} <= set(listed())
    said = author.run("owner", "--add", "nobody-at-all", "owned", *TO, fails=True).output
    assert "nobody-at-all" in said, said
    author.run("owner", "--add", "forge:acme:builders", "owned", *TO)
    assert {"admin", "bob", "forge:acme:builders"} <= set(listed())
    author.run("owner", "--remove", "bob", "--remove", "forge:acme:builders", "owned", *TO)
    assert "bob" not in listed()
    assert "forge:acme:builders" not in listed()
    said = author.run("owner", "--remove", "admin", "owned", *TO, fails=True).output
    assert "owner" in said.partition("error")[2], said
    assert "admin" in listed()


def test_log_in_publish_and_log_out(world: World, tmp_path: Path) -> None:
    author = world.cargo(tmp_path / "author")
    author.run("login", *TO, told=world.server.token)
    assert world.server.token in (author.folder / "credentials.toml").read_text()
    publish(author, Crate("logged-in"), tmp_path)
    author.run("logout", *TO)
    assert world.server.token not in (author.folder / "credentials.toml").read_text()
    publish(author, Crate("logged-in", "1.1.0"), tmp_path, fails=True)
    assert [line["vers"] for line in world.lines("logged-in")] == ["1.0.0"]


def test_a_user_s_own_token_is_made_on_the_page(world: World, tmp_path: Path) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"user=ann&password=p%40ss%3Aw%2Frd"
    page = world.server.ask("/cargo/local/me", method="POST", headers=form, body=body)
    assert page.status == 200, page.text
    found = re.search(r"\brel_[A-Za-z0-9_-]{20,}|\b[A-Za-z0-9_-]{32,}\b", page.text)
    assert found is not None, page.text
    author = world.cargo(tmp_path / "author", "hosted")
    author.run("login", *TO, told=found[0])
    publish(author, Crate("ann-crate"), tmp_path)
    assert "ann" in author.run("owner", "--list", "ann-crate", *TO, "--quiet").output
    author.run("yank", "ann-crate@1.0.0", *TO)
    # Her token opens no other repository.
    elsewhere = replace(other(author, tmp_path / "elsewhere", {NAME: world.url("second")}), tokens={NAME: found[0]})
    said = publish(elsewhere, Crate("ann-crate", "1.1.0"), tmp_path, fails=True)
    assert "403" in said, said
    assert "ann" in said.partition("403")[2], said
    assert world.lines("ann-crate", "second") == []


def test_a_crate_that_needs_a_crate_of_the_upstream(world: World, tmp_path: Path) -> None:
    world.played.offer(Crate("public-leaf", "1.3.0"))
    author = world.cargo(tmp_path / "author", token=True)
    tree = Crate("own-tree", deps=(Dep("public-leaf"),))
    publish(author, tree, tmp_path)
    assert world.lines("own-tree")[0]["deps"][0]["registry"] is None
    folder = project(tmp_path / "project", Dep("own-tree"))
    reader = world.cargo(tmp_path / "reader")
    assert fetched(reader, folder) == {"own-tree": "1.0.0", "public-leaf": "1.3.0"}
    assert used(reader, folder) == ["own-tree@1.0.0", "public-leaf@1.3.0"]
