"""The go command against repositories of every kind. Numbers in names are items of go.md, section 8."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.go.conftest import KINDS, World
from tests.clients.go.tools import project
from tests.clients.tools import Home
from tests.formats.go.artefacts import gomod, h1, h1_of, module_zip
from tests.formats.go.conftest import publish, told

pytestmark = pytest.mark.client
VERSIONS = ("v1.0.0", "v1.0.1", "v1.10.0", "v1.9.0", "v1.11.0-rc.1")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_1_2_43_a_module_is_downloaded_whole(world: World, kind: str, tmp_path: Path) -> None:
    path = f"{kind}.example.com/Whole~x/v2"
    made = world.provide(kind, path, "v2.0.0-M3")
    assert world.go(tmp_path, kind).download(f"{path}@v2.0.0-M3") == {f"{path}@v2.0.0-M3": h1(made["v2.0.0-M3"])}


def test_8_10_versions_are_found_by_every_kind_of_question(world: World, kind: str, tmp_path: Path) -> None:
    path, commit = f"{kind}.example.com/asked", "v1.10.1-0.20250101000000-0123456789ab"
    world.provide(kind, path, *VERSIONS, commit, best="v1.10.0", tags="".join(f"{each}\n" for each in VERSIONS))
    go = world.go(tmp_path, kind)
    wanted = {
        "latest": "v1.10.0",
        "v1": "v1.10.0",
        "v1.0": "v1.0.1",
        "<v1.9.0": "v1.0.1",
        ">=v1.9.1": "v1.10.0",
        "v1.11.0-rc.1": "v1.11.0-rc.1",
        commit: commit,
    }
    assert {asked: go.module(f"{path}@{asked}")["Version"] for asked in wanted} == wanted
    listed = ["v1.0.0", "v1.0.1", "v1.9.0", "v1.10.0"]
    assert go.module(path, "-versions")["Versions"] in (listed, [*listed, "v1.11.0-rc.1"])
    said = go.run("list", "-m", f"{path}@v1.7.0", fails=True).output
    assert "404 Not Found" in said
    assert re.search(r"server response: go/\w+ has no", said) or kind == "proxy", said


def test_9_a_branch_is_found_where_an_upstream_has_it(world: World, tmp_path: Path) -> None:
    path, commit = "proxy.example.com/branch", "v0.0.0-20250101000000-0123456789ab"
    world.provide("proxy", path, commit, tags="")
    for asked in ("main", "0123456789ab"):
        world.played.put(f"/{path}/@v/{asked}.info", told(commit), content_type="application/json")
    for kind in ("proxy", "group"):
        go = world.go(tmp_path / kind, kind)
        assert {go.module(f"{path}@{asked}")["Version"] for asked in ("main", "0123456789ab", "latest")} == {commit}
    publish(world.server, "hosted.example.com/branch")
    assert "404 Not Found" in world.go(tmp_path).run("list", "-m", "hosted.example.com/branch@main", fails=True).output


def test_updates_retractions_and_deprecations(world: World, kind: str, tmp_path: Path) -> None:
    path = f"{kind}.example.com/withdrawn"
    world.provide(kind, path, "v1.0.0", "v1.1.0")
    mod = gomod(path, retract=["v1.1.0 // broken by accident", "v1.3.0 // itself"], deprecated="use another")
    if kind == "proxy":
        everything = "".join(f"v1.{minor}.0\n" for minor in range(4))
        world.provide(kind, path, "v1.2.0", "v1.3.0", mod=mod, tags=everything)
    else:
        world.provide(kind, path, "v1.2.0", "v1.3.0", mod=mod)
    go, program = world.go(tmp_path / "home", kind), project(tmp_path / "program", f"{path} v1.1.0")
    go.run("mod", "download", cwd=program)
    assert go.run("list", "-m", "-versions", path, cwd=program).output.split()[1:] == ["v1.0.0", "v1.2.0"]
    said = go.run(
        "list", "-m", "-u", "-retracted", "-f", "{{.Update.Version}} {{.Retracted}} {{.Deprecated}}", path, cwd=program
    )
    assert said.output.strip().splitlines()[-1] == "v1.2.0 [broken by accident] use another"


@pytest.fixture
def modules(world: World, request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """A public module with a public dependency, and a private one that needs it."""
    name = request.node.name.replace("_", "-")
    deep, public, private = f"up.example.com/{name}/deep", f"up.example.com/{name}/public", f"corp.example.com/{name}"
    world.provide("proxy", deep, "v1.0.0", files={"deep.go": b'package deep\n\nconst Word = "deep"\n'})
    mod = gomod(public, require={deep: "v1.0.0"})
    code = f'package public\n\nimport "{deep}"\n\nconst Word = "public " + deep.Word\n'.encode()
    world.provide("proxy", public, "v1.0.0", mod=mod, files={"public.go": code})
    mod = gomod(private, require={public: "v1.0.0", deep: "v1.0.0"})
    code = f'package private\n\nimport "{public}"\n\nconst Word = "private " + public.Word\n'.encode()
    world.provide("hosted", private, "v1.0.0", mod=mod, files={"private.go": code})
    return deep, public, private


def test_15_a_program_of_public_and_private_modules_is_built_with_sums(
    world: World, modules: tuple[str, str, str], tmp_path: Path
) -> None:
    deep, public, private = modules
    go = world.go(tmp_path / "home", sums=world.database.key, private="corp.example.com")
    program = project(tmp_path / "program", imports=(private,), prints="private.Word")
    world.played.forget()
    go.run("mod", "tidy", cwd=program)
    assert go.run("run", ".", cwd=program, timeout=170).output.splitlines()[-1] == "private public deep"
    sums = (program / "go.sum").read_text().splitlines()
    assert {line.split()[0] for line in sums} == {deep, public, private}
    asked = [request.path for request in world.played.requests]
    assert any("/lookup/up.example.com/" in path for path in asked)
    assert not [path for path in asked if private in path]
    world.played.stop()
    try:
        again = replace(go, home=Home(tmp_path / "again"))
        again.run("mod", "download", cwd=program)
        assert again.run("mod", "verify", cwd=program).output.strip() == "all modules verified"
    finally:
        world.played.resume()


def test_5_a_package_is_found_among_the_paths_around_it(world: World, tmp_path: Path) -> None:
    path, deep = "corp.example.com/probed", "corp.example.com/probed/nested"
    world.provide("hosted", path, "v1.0.0", files={"sub/one/one.go": b"package one\n", "x.go": b"package probed\n"})
    world.provide("hosted", deep, "v0.1.0", files={"two/two.go": b"package two\n"})
    go, program = world.go(tmp_path / "home"), project(tmp_path / "program")
    go.run("get", f"{path}/sub/one", f"{deep}/two@latest", cwd=program)
    required = (program / "go.mod").read_text()
    assert re.findall(r"(corp\S+) (v\S+)", required) == [(path, "v1.0.0"), (deep, "v0.1.0")]
    said = go.run("get", f"{path}/missing", cwd=program, fails=True).output
    assert f"module {path}@latest found (v1.0.0), but does not contain package {path}/missing" in re.sub(
        r"module (\S+)@(upgrade|latest)", r"module \1@latest", said
    )


def test_a_private_module_without_gonosumdb_is_asked_of_nobody(world: World, tmp_path: Path) -> None:
    path = "corp.example.com/unsaid"
    publish(world.server, path)
    world.database.lay(world.played)
    world.played.forget()
    go = world.go(tmp_path, sums=world.database.key)
    said = go.run("mod", "download", f"{path}@v1.0.0", fails=True).output
    assert "404 Not Found" in said
    assert not [request for request in world.played.requests if "corp.example.com" in request.path]


def test_20_a_zip_that_the_database_knows_otherwise_is_refused(world: World, tmp_path: Path) -> None:
    path = "up.example.com/forged"
    right = module_zip(path, "v1.0.0")
    world.provide("proxy", path, "v1.0.1")
    world.database.note(path, "v1.0.0", h1(right), h1_of({"go.mod": gomod(path)}))
    world.provide("proxy", path, "v1.0.0", files={"demo.go": b"package forged\n"})
    world.database.texts.pop()
    world.database.of.pop()
    world.database.lay(world.played)
    go = world.go(tmp_path, sums=world.database.key)
    assert go.download(f"{path}@v1.0.1")
    assert "SECURITY ERROR" in go.run("mod", "download", f"{path}@v1.0.0", fails=True).output


def test_a_list_of_proxies_goes_on_where_nothing_is_here(world: World, tmp_path: Path) -> None:
    path = "up.example.com/onward"
    world.provide("proxy", path, "v1.0.0")
    publish(world.server, "corp.example.com/onward")
    go = replace(world.go(tmp_path), proxy=f"{world.url('hosted')},{world.url('proxy')}")
    assert set(go.download(f"{path}@v1.0.0", "corp.example.com/onward@latest")) == {
        f"{path}@v1.0.0",
        "corp.example.com/onward@v1.0.0",
    }
    world.played.fault(f"/{path}/@v/v1.1.0.info", status=500)
    first = replace(go, home=Home(tmp_path / "other"), proxy=f"{world.url('proxy')},{world.url('hosted')}")
    said = first.run("mod", "download", f"{path}@v1.1.0", fails=True).output
    assert "503 Service Unavailable" in said
    assert "server response: the upstream 127.0.0.1 answered 500" in said


def test_39_a_closed_repository_says_so(world: World, tmp_path: Path) -> None:
    publish(world.server, "corp.example.com/closed", to="closed")
    said = world.go(tmp_path, "closed").run("mod", "download", "corp.example.com/closed@v1.0.0", fails=True).output
    assert "401 Unauthorized" in said
    assert "server response: credentials are needed" in said
