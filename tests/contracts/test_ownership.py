"""Whose a name is, and what no configuration, deletion or race may change about it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from reliquary.app import World, open_world
from reliquary.cli import init
from reliquary.formats.base import PageKey
from reliquary.jobs.calls import InsideIncoming, run
from reliquary.repositories.base import Contents
from reliquary.repositories.hosted import Hosted
from reliquary.settings import Settings
from tests.contracts.requests import boxed, indexed, lay_index
from tests.faults.playground import FRESH, lay_crate, lay_npm, lay_wheel, settings, sha256, wheel_name
from tests.formats.cargo.artefacts import body as framed
from tests.formats.cargo.artefacts import crate, told
from tests.formats.npm.artefacts import document, packument, tarball
from tests.formats.pypi.artefacts import wheel
from tests.running import Running, environment, reliquary, running
from tests.upstreams import Upstream, playing

JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with playing() as player:
        yield player


def publish(server: Running, name: str, version: str = "1.0") -> None:
    assert server.put(f"/pypi/local/{wheel_name(name, version)}", wheel(name, version)).status == 201


def files(server: Running, path: str) -> list[str] | int:
    answer = server.ask(path, headers=JSON)
    return answer.status if answer.status != 200 else [each["filename"] for each in orjson.loads(answer.body)["files"]]


def projects(server: Running, path: str) -> list[str]:
    return [each["name"] for each in orjson.loads(server.ask(path, headers=JSON).body)["projects"]]


def command(server: Running, *words: str) -> None:
    config = server.data.parent / f"{server.data.name}.toml"
    line = [*reliquary(), *words, "--data", str(server.data), "--config", str(config)]
    subprocess.run(line, check=True, env=environment(), capture_output=True, timeout=60)


def root(upstream: Upstream, *names: str) -> None:
    links = "".join(f'<a href="{name}/">{name}</a>' for name in names)
    body = f"<!DOCTYPE html><html><head><title>Simple index</title></head><body>{links}</body></html>"
    upstream.put("/simple/", body.encode(), content_type="text/html")


def test_a_name_stays_its_owners_when_the_repository_is_closed(upstream: Upstream, tmp_path: Path) -> None:
    lay_wheel(upstream, "mine", wheel("mine", "9.9"))
    lay_wheel(upstream, "other", wheel("other", "9.9"))
    root(upstream, "mine", "other")
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        publish(server, "mine")
        assert files(server, "/pypi/all/simple/mine/") == [wheel_name("mine")]
        assert projects(server, "/pypi/all/simple/") == ["mine", "other"]
        command(server, "repo", "set", "pypi/local", "--closed")
        assert files(server, "/pypi/all/simple/mine/") == 404
        assert projects(server, "/pypi/all/simple/") == ["other"]
        assert files(server, "/pypi/all/simple/other/") == [wheel_name("other")]


def test_a_name_stays_its_owners_when_its_last_file_is_deleted(upstream: Upstream, tmp_path: Path) -> None:
    lay_wheel(upstream, "gone", wheel("gone", "9.9"))
    root(upstream, "gone")
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        publish(server, "gone")
        assert server.ask("/pypi/local/manage/gone/1.0", method="DELETE", token=server.token).status < 300
        assert files(server, "/pypi/all/simple/gone/") == 404
        assert projects(server, "/pypi/all/simple/") == []


def test_a_quarantined_project_gives_no_file(upstream: Upstream, tmp_path: Path) -> None:
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        publish(server, "quar")
        listed = orjson.loads(server.ask("/pypi/local/simple/quar/", headers=JSON).body)["files"][0]["url"]
        address = "/pypi/local/" + listed.removeprefix("../../")
        assert server.ask(address).status == 200
        body = b'{"status": "quarantined"}'
        assert server.ask("/pypi/local/manage/quar/status", method="PUT", body=body, token=server.token).status < 300
        assert server.ask(address).status == 404
        assert server.ask(address + ".metadata").status == 404
        body = b'{"status": "active"}'
        assert server.ask("/pypi/local/manage/quar/status", method="PUT", body=body, token=server.token).status < 300
        assert server.ask(address).status == 200


def test_a_bad_address_is_refused_and_harms_nothing(upstream: Upstream, tmp_path: Path) -> None:
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        with pytest.raises(subprocess.CalledProcessError):
            command(server, "repo", "create", "pypi/bad", "proxy", "--upstream", "http://h:abc/simple/")
        assert server.ask("/healthz").status == 200
        assert server.ask("/pypi/local/simple/").status == 200


def test_denied_and_removed_names_stay_out_of_the_changelog(upstream: Upstream, tmp_path: Path) -> None:
    call = b"<?xml version='1.0'?><methodCall><methodName>list_packages_with_serial</methodName></methodCall>"
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        for name in ("shown", "hidden", "gone"):
            publish(server, name)
        server.ask("/pypi/local/manage/gone/1.0", method="DELETE", token=server.token)
        command(server, "repo", "create", "pypi/some", "group", "--member", "local", "--rule", "deny:hidden")
        answer = server.ask("/pypi/some/pypi", method="POST", body=call, headers={"Content-Type": "text/xml"})
        assert answer.status == 200
        assert [name in answer.text for name in ("shown", "hidden", "gone")] == [True, False, False]


def test_the_addresses_of_mirrors_pass_the_same_gate(upstream: Upstream, tmp_path: Path) -> None:
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        publish(server, "mine")
        document = orjson.loads(server.ask("/pypi/local/pypi/mine/json").body)
        address = "/" + document["urls"][0]["url"].removeprefix(server.url)
        assert address.startswith("/packages/pypi/local/")
        assert server.ask(address).body == wheel("mine", "1.0")
        assert server.ask("/packages/pypi/local/simple/mine").status == 301
        assert server.ask("/packages/").status == server.ask("/packages/nothing/x").status == 404
        command(server, "repo", "set", "pypi/local", "--closed")
        assert server.ask(address).status == 401
        assert server.ask(address, token=server.token).status == 200


def test_questions_go_to_the_member_that_has_the_name(upstream: Upstream, tmp_path: Path) -> None:
    document = b'{"info": {"name": "only"}, "releases": {}, "urls": []}'
    with playing() as second:
        lay_wheel(second, "only", wheel("only", "1.0"))
        second.put("/pypi/only/json", document, content_type="application/json")
        with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
            command(server, "repo", "create", "pypi/later", "proxy", "--upstream", second.url + "simple/")
            members = [word for name in ("local", "proxy", "later") for word in ("--member", name)]
            command(server, "repo", "create", "pypi/both", "group", *members)
            assert files(server, "/pypi/both/simple/only/") == [wheel_name("only")]
            answer = server.ask("/pypi/both/pypi/only/json")
            assert (answer.status, orjson.loads(answer.body)["info"]["name"]) == (200, "only")
            assert server.ask("/pypi/both/pypi/nobody/json").status == 404


def test_a_tarball_that_is_still_good_is_confirmed_without_a_download(upstream: Upstream, tmp_path: Path) -> None:
    played = lay_npm(upstream, "cold", tarball("cold"))
    with running(tmp_path / "first", config=settings(upstream, FRESH)) as server:
        etag = server.ask(played.here).header("etag") or ""
    upstream.forget()
    with running(tmp_path / "second", config=settings(upstream, FRESH)) as server:
        assert server.ask(played.here, headers={"If-None-Match": etag}).status == 304
        assert upstream.hits(played.there, "GET") == 0
        assert server.ask(played.here, headers={"If-None-Match": '"other"'}).body == tarball("cold")
        assert upstream.hits(played.there, "GET") == 1


def test_a_copy_that_is_still_good_is_confirmed_without_a_download(upstream: Upstream, tmp_path: Path) -> None:
    played = lay_wheel(upstream, "cold", wheel("cold", "1.0"))
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        listed = orjson.loads(server.ask("/pypi/all/simple/cold/", headers=JSON).body)["files"][0]
        address = "/pypi/all/" + listed["url"].removeprefix("../../")
        etag = f'"{listed["hashes"]["sha256"]}"'
        assert server.ask(address, headers={"If-None-Match": etag}).status == 304
        assert upstream.hits(played.there, "GET") == 0
        assert server.ask(address, headers={"If-None-Match": '"other"'}).status == 200
        assert upstream.hits(played.there, "GET") == 1


# The same of npm


def put_npm(server: Running, name: str, version: str = "1.0.0") -> None:
    assert server.put(f"/npm/local/{name}-{version}.tgz", tarball(name, version)).status == 201


def listed(server: Running, path: str) -> list[str] | int:
    answer = server.ask(path)
    return answer.status if answer.status != 200 else [*orjson.loads(answer.body)["versions"]]


def test_a_name_of_npm_stays_its_owners(upstream: Upstream, tmp_path: Path) -> None:
    """npm.md 44: closed, or with its last version gone, it never falls to the upstream."""
    for name in ("mine", "gone", "other"):
        lay_npm(upstream, name, tarball(name, "9.9.9"))
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        put_npm(server, "mine", "2.0.0")
        put_npm(server, "gone", "2.0.0")
        assert listed(server, "/npm/all/mine") == listed(server, "/npm/all/gone") == ["2.0.0"]
        assert server.ask("/npm/local/gone/-rev/1", method="DELETE", token=server.token).status == 200
        command(server, "repo", "set", "npm/local", "--closed")
        for name in ("mine", "gone"):
            assert listed(server, f"/npm/all/{name}") == 404
            assert server.ask(f"/npm/all/{name}/-/{name}-1.0.0.tgz").status == 404
            assert server.ask(f"/npm/all/{name}/latest").status == 404
        assert listed(server, "/npm/all/other") == ["1.0.0"]
        assert upstream.hits("/registry/mine") == upstream.hits("/registry/gone") == 0


def test_members_of_npm_that_may_both_give_a_name_are_merged(upstream: Upstream, tmp_path: Path) -> None:
    """npm.md 44, 45: every version that is listed downloads from the group, and any member's change shows."""
    with playing() as second:
        bodies = {version: tarball("shared", version) for version in ("1.0.0", "2.0.0", "3.0.0")}
        for player, versions in ((upstream, ["1.0.0"]), (second, ["2.0.0"])):
            _lay(player, {version: bodies[version] for version in versions})
        with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
            command(server, "repo", "create", "npm/later", "proxy", "--upstream", second.url + "registry/")
            command(server, "repo", "create", "npm/both", "group", "--member", "proxy", "--member", "later")
            first = server.ask("/npm/both/shared")
            found = orjson.loads(first.body)
            assert sorted(found["versions"]) == ["1.0.0", "2.0.0"]
            assert found["dist-tags"] == {"latest": "1.0.0"}
            for version, manifest in found["versions"].items():
                assert manifest["dist"]["tarball"] == f"{server.url}npm/both/shared/-/shared-{version}.tgz"
                assert server.ask(f"/npm/both/shared/-/shared-{version}.tgz").body == bodies[version]
            _lay(second, {version: bodies[version] for version in ("2.0.0", "3.0.0")})
            again = server.ask("/npm/both/shared", headers={"If-None-Match": first.header("etag") or ""})
            assert again.status == 200
            assert sorted(orjson.loads(again.body)["versions"]) == ["1.0.0", "2.0.0", "3.0.0"]


def _lay(player: Upstream, tarballs: dict[str, bytes]) -> None:
    body = packument("shared", tarballs, f"{player.url}registry/")
    player.put("/registry/shared", body, content_type="application/json")
    for version, tgz in tarballs.items():
        player.put(f"/registry/shared/-/shared-{version}.tgz", tgz)


def test_what_is_changed_through_a_group_of_npm_is_changed_in_its_hosted_member(
    upstream: Upstream, tmp_path: Path
) -> None:
    """npm.md 46."""
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        body = orjson.dumps(document("demo", "1.0.0"))
        assert server.put("/npm/all/demo", body).status == 201
        assert server.put("/npm/all/-/package/demo/dist-tags/next", b'"1.0.0"').status == 201
        here, there = (orjson.loads(server.ask(f"/npm/{name}/demo?write=true").body) for name in ("local", "all"))
        assert here["dist-tags"] == there["dist-tags"] == {"latest": "1.0.0", "next": "1.0.0"}
        assert here["_rev"] == there["_rev"] == orjson.loads(server.ask("/npm/local/demo").body)["_rev"]
        assert orjson.loads(server.ask("/npm/all/demo").body)["_rev"] == here["_rev"]
        assert server.ask(f"/npm/all/demo/-rev/{here['_rev']}", method="DELETE", token=server.token).status == 200
        assert listed(server, "/npm/local/demo") == 404


# The same of cargo


def put_crate(server: Running, name: str, version: str = "1.0.0", repository: str = "local") -> int:
    return server.put(f"/cargo/{repository}/{name}-{version}.crate", crate(name, version)).status


def lines(server: Running, repository: str, name: str) -> dict[str, dict[str, Any]] | int:
    """Versions and their lines on an index file, or the status."""
    answer = server.ask(f"/cargo/{repository}/{indexed(name)}")
    if answer.status != 200:
        return answer.status
    return {found["vers"]: found for found in map(orjson.loads, answer.body.splitlines())}


def test_a_name_of_cargo_stays_its_owners_in_every_spelling(upstream: Upstream, tmp_path: Path) -> None:
    """cargo.md, section 6: a name hides those that differ in case, ``-`` and ``_``, even closed or with no version."""
    for name in ("mine-it", "mine_it", "gone", "other"):
        lay_crate(upstream, name, boxed(name, "9.9.9"), "9.9.9")
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        assert put_crate(server, "Mine_It", "2.0.0") == put_crate(server, "gone", "2.0.0") == 201
        mine = lines(server, "all", "mine_it")
        assert isinstance(mine, dict) and [*mine] == ["2.0.0"] and mine["2.0.0"]["name"] == "Mine_It"
        assert lines(server, "all", "mine-it") == 404
        for spelled in ("mine-it", "mine_it"):
            assert server.ask(f"/cargo/all/api/v1/crates/{spelled}/9.9.9/download").status == 404
        assert server.ask("/cargo/local/manage/gone/2.0.0", method="DELETE", token=server.token).status == 204
        command(server, "repo", "set", "cargo/local", "--closed")
        for name in ("mine_it", "mine-it", "gone"):
            assert lines(server, "all", name) == 404
            for version in ("2.0.0", "9.9.9"):
                assert server.ask(f"/cargo/all/api/v1/crates/{name}/{version}/download").status == 404
        other = lines(server, "all", "other")
        assert isinstance(other, dict) and [*other] == ["9.9.9"]
        for name in ("mine_it", "mine-it", "gone"):
            assert upstream.hits(f"/index/{indexed(name)}") == 0


def test_a_name_that_an_upstream_spells_otherwise_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    """cargo.md 5, 6: beside ``foo-bar`` there is no ``foo_bar`` nor ``Foo-Bar``, wherever the first one lies."""
    lay_crate(upstream, "far-away", boxed("far-away"))
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        assert put_crate(server, "near-by") == 201
        for name in ("near_by", "Near-By"):
            assert put_crate(server, name, "2.0.0") == put_crate(server, name, "2.0.0", "all") == 409, name
        for name in ("far_away", "Far-Away"):
            refused = server.put("/cargo/all/api/v1/crates/new", framed(told(name), crate(name)))
            assert (refused.status, b"far-away" in refused.body) == (409, True), name
        warned = server.put(
            "/cargo/all/api/v1/crates/new", framed(told("far-away", "2.0.0"), crate("far-away", "2.0.0"))
        )
        assert warned.status == 200 and "far-away" in orjson.loads(warned.body)["warnings"]["other"][0]
        found = lines(server, "all", "far-away")
        assert isinstance(found, dict) and [*found] == ["2.0.0"], "a name that is published here is ours from then on"


def test_members_of_cargo_that_may_both_give_a_name_are_merged(upstream: Upstream, tmp_path: Path) -> None:
    """cargo.md 55, 56: every version once, the first member's, and the very bytes that its line names."""
    with playing() as second:
        mine = {version: boxed("shared", version) for version in ("1.0.0", "2.0.0")}
        theirs = {version: crate("shared", version) for version in ("2.0.0", "3.0.0")}
        assert mine["2.0.0"] != theirs["2.0.0"]
        lay_index(upstream, "shared", mine)
        lay_index(second, "shared", {"3.0.0": theirs["3.0.0"]})
        with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
            command(server, "repo", "create", "cargo/later", "proxy", "--upstream", second.url + "index/")
            command(server, "repo", "create", "cargo/both", "group", "--member", "proxy", "--member", "later")
            first = server.ask(f"/cargo/both/{indexed('shared')}")
            assert [orjson.loads(line)["vers"] for line in first.body.splitlines()] == ["1.0.0", "2.0.0", "3.0.0"]
            lay_index(second, "shared", theirs)
            assert server.ask(f"/cargo/both/{indexed('shared')}").body == first.body
            lay_index(upstream, "shared", mine, yanked=True)
            again = server.ask(
                f"/cargo/both/{indexed('shared')}", headers={"If-None-Match": first.header("etag") or ""}
            )
            assert again.status == 200
            for line in map(orjson.loads, again.body.splitlines()):
                archive = server.ask(f"/cargo/both/api/v1/crates/shared/{line['vers']}/download").body
                assert (line["cksum"], archive) == (sha256(archive), (theirs | mine)[line["vers"]])
                assert line["yanked"] == (line["vers"] != "3.0.0")


def test_what_is_changed_through_a_group_of_cargo_is_changed_in_its_hosted_member(
    upstream: Upstream, tmp_path: Path
) -> None:
    """cargo.md, section 6; an upstream's versions are not ours to yank."""
    lay_crate(upstream, "theirs", boxed("theirs"))
    with running(tmp_path / "var", config=settings(upstream, FRESH)) as server:
        assert server.put("/cargo/all/api/v1/crates/new", framed(told(), crate())).status == 200
        for verb, method, yanked in (("yank", "DELETE", True), ("unyank", "PUT", False)):
            address = f"/cargo/all/api/v1/crates/demo/1.0.0/{verb}"
            assert server.ask(address, method=method, body=b"", token=server.token).body == b'{"ok":true}'
            for name in ("local", "all"):
                found = lines(server, name, "demo")
                assert isinstance(found, dict) and found["1.0.0"]["yanked"] is yanked
        before = lines(server, "all", "theirs")
        refused = server.ask("/cargo/all/api/v1/crates/theirs/1.0.0/yank", method="DELETE", token=server.token)
        assert refused.status in (403, 404, 405, 409) and b'"errors":[{"detail":"' in refused.body
        assert lines(server, "all", "theirs") == before != 404


# Renderings that are under way while something is published


class Gate:
    """Holds back the first rendering until it is opened."""

    def __init__(self, repository: Hosted) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self._repository = repository

    async def contents(self, key: PageKey, media: str) -> Contents:
        found = await Hosted.contents(self._repository, key, media)
        if not self.reached.is_set():
            self.reached.set()
            await self.open.wait()
        return found


async def put(world: World, repository: Any, version: str) -> None:
    name = wheel_name("demo", version)
    call = world.formats["pypi"].match("PUT", (name,), {})
    reply = await run(repository, call, InsideIncoming("PUT", (name,), wheel("demo", version)))  # type: ignore[arg-type]
    assert reply.status == 201


@pytest.mark.anyio
async def test_a_reader_after_a_publish_never_joins_a_rendering_from_before(tmp_path: Path) -> None:
    given = Settings.model_validate({"data": tmp_path / "var", "upstreams": {"pypi": "none"}, "reserve": 0})
    await init.prepare(given, {})
    world = await open_world(given)
    try:
        local = world.state.estate.get("pypi", "local")
        assert isinstance(local, Hosted)
        await put(world, local, "1.0")
        key = world.formats["pypi"].pages("demo")[0]
        gate = Gate(local)
        local.contents = gate.contents  # type: ignore[method-assign]
        early = asyncio.create_task(local.page(key, "text/html", ("identity",)))
        await gate.reached.wait()
        await put(world, local, "2.0")
        late = await local.page(key, "text/html", ("identity",))
        gate.open.set()
        await early
        again = await local.page(key, "text/html", ("identity",))
        assert all(b"demo-2.0" in (page.body or b"") for page in (late, again))
    finally:
        await world.close()
