"""Every cargo of this machine at every kind of repository, open and closed: the long form."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.cargo.samples import Crate, Dep, lay, workspace
from tests.clients.cargo.tools import Cargo, Home, toolchain, versions
from tests.clients.cargo.upstream import FORMS, Registry, registry
from tests.clients.cargo.world import KINDS, NAME, World, config, fetched, locked, other, project, series, used
from tests.running import Running, basic, free_port, running, start

pytestmark = [pytest.mark.client, pytest.mark.matrix]

VERSIONS = versions()
TO = ("--registry", NAME)


def word(version: str) -> str:
    """A version as a part of names."""
    return version.replace(".", "")


def wanted(tag: str) -> tuple[Dep, Dep]:
    """What uses every crate of a workspace."""
    return Dep(f"{tag}-cli"), Dep(f"{tag}_tests_kit", features=("stored",))


@pytest.mark.parametrize("closed", [False, True], ids=["anonymous", "token"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_requirements_are_resolved(version: str, kind: str, closed: bool, world: World, tmp_path: Path) -> None:
    case = f"{word(version)}-{kind}-{'closed' if closed else 'open'}"
    leaf, tree = f"leaf-{case}", f"Tree_{case}"
    leaves = series(leaf, "0.9.0", "1.2.0", "1.10.0", "1.10.1-rc.1", "2.0.0")
    # What a group holds of its own may ask for what only its upstream has.
    world.provide("proxy" if kind == "group" else kind, *leaves, closed=closed)
    trees = series(tree, "1.0.0", "1.1.0", "2.0.0-rc.1", deps=(Dep(leaf, "~1.10"),))
    world.provide(kind, *trees, closed=closed)
    cargo = world.cargo(tmp_path / "home", kind, version=version, closed=closed, token=closed)
    caret = project(tmp_path / "caret", Dep(tree), Dep(leaf, "<1", rename="older"))
    cargo.run("fetch", cwd=caret)
    assert used(cargo, caret) == sorted([f"{tree}@1.1.0", f"{leaf}@1.10.0", f"{leaf}@0.9.0"])
    exact = project(tmp_path / "exact", Dep(tree, "=2.0.0-rc.1"))
    assert fetched(cargo, exact) == {tree: "2.0.0-rc.1", leaf: "1.10.0"}
    cargo.run("update", leaf, "--precise", "1.2.0", cwd=exact, fails=True)
    early = project(tmp_path / "early", Dep(leaf, "1.10.1-rc"))
    assert fetched(cargo, early) == {leaf: "1.10.1-rc.1"}


@pytest.mark.parametrize(("kind", "closed"), [("hosted", False), ("group", True)], ids=["hosted-open", "group-closed"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_whole_workspace_is_published(version: str, kind: str, closed: bool, world: World, tmp_path: Path) -> None:
    tag = f"ws-{word(version)}-{kind}-{'closed' if closed else 'open'}"
    crates = workspace(tag)
    author = world.cargo(tmp_path / "author", kind, version=version, closed=closed, token=True)
    author.needs(90)
    author.needs_compiler()
    folder = lay(crates, tmp_path / "workspace", NAME)
    said = author.run("publish", "--workspace", *TO, cwd=folder).output
    assert said.count("Uploaded ") == len(crates), said
    assert "timed out" not in said, said
    reader = world.cargo(tmp_path / "reader", kind, version=version, closed=closed, token=closed)
    program = project(tmp_path / "project", *wanted(tag))
    assert fetched(reader, program) == {crate.name: crate.version for crate in crates}
    assert set(used(reader, program)) == {crate.marker for crate in crates}
    said = author.run("publish", "--workspace", *TO, cwd=folder, fails=True).output
    assert "already exists" in said, said


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_crates_one_by_one_with_other_cargos(version: str, world: World, tmp_path: Path) -> None:
    tag = f"serial-{word(version)}"
    crates = workspace(tag)
    author = world.cargo(tmp_path / "author", version=version, token=True)
    folder = lay(crates, tmp_path / "workspace", NAME)
    for crate in crates:
        author.run("publish", "--no-verify", *TO, "-p", crate.name, cwd=folder)
    # Every cargo reads what another one published.
    for reading in VERSIONS:
        reader = world.cargo(tmp_path / reading, version=reading)
        program = project(tmp_path / reading / "project", *wanted(tag))
        assert fetched(reader, program) == {crate.name: crate.version for crate in crates}


def test_every_worker_knows_what_was_published(tmp_path: Path) -> None:
    crates = workspace("shared")
    with registry() as played:
        settings = f"workers = 2\n{config(played.url)}"
        with running(tmp_path / "server" / "var", config=settings) as server:
            world = World(server, played)
            author = world.cargo(tmp_path / "author", version=VERSIONS[-1], token=True)
            folder = lay(crates, tmp_path / "workspace", NAME)
            for crate in crates:
                said = author.run("publish", "--no-verify", *TO, "-p", crate.name, cwd=folder).output
                assert f"Published {crate.name} " in said, said
                assert all(len(world.lines(crate.name, kind)) == 1 for kind in ("group", "hosted") for _ in range(6))
            author.run("yank", f"{crates[0].name}@1.0.0", *TO)
            assert all(world.lines(crates[0].name)[0]["yanked"] for _ in range(6))


@pytest.mark.parametrize("version", VERSIONS)
def test_packaged_files_are_published_without_cargo(version: str, world: World, tmp_path: Path) -> None:
    tag = f"bare-{word(version)}"
    crates = workspace(tag)
    author = world.cargo(tmp_path / "author", "hosted", version=version)
    author.needs(90)
    folder = lay(crates, tmp_path / "workspace", NAME)
    author.run("package", "--workspace", "--no-verify", *TO, cwd=folder)
    for crate in crates:
        packed = (author.home.path / "target" / "package" / crate.filename).read_bytes()
        answer = world.ask("PUT", "hosted", crate.filename.replace("+", "%2B"), body=packed)
        assert answer.status == 201, answer.text
        (line,) = world.lines(crate.name)
        assert all(dep.get("registry") is None for dep in line["deps"]), line
    reader = world.cargo(tmp_path / "reader", version=version)
    program = project(tmp_path / "project", *wanted(tag))
    assert fetched(reader, program) == {crate.name: crate.version for crate in crates}
    assert set(used(reader, program)) == {crate.marker for crate in crates}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_authors_change_afterwards(version: str, world: World, tmp_path: Path) -> None:
    name = f"changed-{word(version)}"
    author = world.cargo(tmp_path / "author", version=version)
    author.run("login", *TO, told=world.server.token)
    for crate in series(name, "1.0.0", "1.0.1"):
        author.run("publish", "--no-verify", *TO, cwd=crate.write(tmp_path / crate.marker))
    folder = project(tmp_path / "project", Dep(name))
    author.run("yank", f"{name}@1.0.1", *TO)
    assert fetched(author, folder) == {name: "1.0.0"}
    author.run("update", name, "--precise", "1.0.1", cwd=folder)
    other(author, tmp_path / "other").run("fetch", "--locked", cwd=folder)
    author.run("yank", f"{name}@1.0.1", "--undo", *TO)
    assert [line["yanked"] for line in world.lines(name)] == [False, False]
    author.run("owner", "--add", "bob", name, *TO)
    assert "bob" in author.run("owner", "--list", name, *TO).output
    author.run("owner", "--remove", "bob", name, *TO)
    assert f'{name} = "1.0.1"' in author.run("search", name, *TO).output
    author.run("logout", *TO)
    author.run("yank", f"{name}@1.0.0", *TO, fails=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_crates_are_added_and_vendored(version: str, world: World, tmp_path: Path) -> None:
    leaf, tree = f"carried-{word(version)}", f"carrier-{word(version)}"
    world.played.offer(Crate(leaf, "1.2.0"))
    world.publish(Crate(tree, "1.1.0", deps=(Dep(leaf),), features={"plus": []}))
    named = world.cargo(tmp_path / "named", version=version)
    assert "plus" in named.run("add", tree, *TO, cwd=project(tmp_path / "other")).output
    assert f'version = "1.1.0", registry = "{NAME}"' in (tmp_path / "other" / "Cargo.toml").read_text()
    # What is vendored is found by the manifests alone, and these need the public registry.
    cargo = world.cargo(tmp_path / "home", version=version, replaced=True)
    folder = project(tmp_path / "project")
    cargo.run("add", tree, cwd=folder)
    said = cargo.run("vendor", "--respect-source-config", cwd=folder).output
    (folder / ".cargo").mkdir()
    (folder / ".cargo" / "config.toml").write_text(said[said.index("[source") :])
    assert {path.name for path in (folder / "vendor").iterdir()} == {leaf, tree}
    cargo.needs_compiler()
    apart = replace(cargo, home=Home(tmp_path / "apart"), registries={}, replaced=None)
    apart.run("check", "--offline", "--locked", cwd=folder)


@pytest.mark.parametrize("kind", ["hosted", "proxy"])
@pytest.mark.parametrize("version", VERSIONS)
def test_crates_for_newer_compilers_are_passed_over(version: str, kind: str, world: World, tmp_path: Path) -> None:
    name = f"demanding-{word(version)}-{kind}"
    world.provide(kind, Crate(name, "1.0.0", rust_version="1.56"), Crate(name, "1.1.0", rust_version="1.200"))
    cargo = world.cargo(tmp_path / "home", kind, version=version)
    cargo.needs(84)
    folder = project(tmp_path / "project", Dep(name))
    careful = {"CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS": "fallback"}
    cargo.run("generate-lockfile", cwd=folder, env=careful)
    assert locked(folder)[name][0] == "1.0.0"


@pytest.fixture(scope="module")
def mirrors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, dict[str, Registry]]]:
    """A server with a proxy for every form of ``dl``, and a closed upstream's."""
    with ExitStack() as stack:
        played = {form: stack.enter_context(registry(form, validators=form != "names")) for form in FORMS}
        lines = ['upstreams = { cargo = "none", go = "none", npm = "none", pypi = "none" }']
        for form, each in played.items():
            lines += [f'[[repositories]]\nformat = "cargo"\nname = "{form}"\nkind = "proxy"\nupstream = "{each.url}"']
            lines += [f'[[repositories]]\nformat = "cargo"\nname = "all-{form}"\nkind = "group"']
            lines += [f'members = ["local", "{form}"]']
        data = tmp_path_factory.mktemp("mirrors") / "var"
        yield stack.enter_context(running(data, config="\n".join(lines))), played


@pytest.mark.parametrize("grouped", [False, True], ids=["proxy", "group"])
@pytest.mark.parametrize("form", FORMS)
def test_upstreams_of_every_form(
    form: str, grouped: bool, mirrors: tuple[Running, dict[str, Registry]], tmp_path: Path
) -> None:
    server, played = mirrors
    tag = "Grouped" if grouped else "Proxied"
    leaf, tree = Crate(f"{tag}_Leaf", "1.1.0+meta"), Crate(f"{tag}-Tree", "1.0.0-beta.1", deps=(Dep(f"{tag}_Leaf"),))
    played[form].offer(leaf, tree)
    url = f"{server.url}cargo/{'all-' if grouped else ''}{form}/"
    cargo = Cargo(toolchain(), Home(tmp_path / "home"), {NAME: url})
    folder = project(tmp_path / "project", Dep(tree.name, "1.0.0-beta"))
    assert fetched(cargo, folder) == {leaf.name: leaf.version, tree.name: tree.version}
    assert used(cargo, folder) == sorted([leaf.marker, tree.marker])
    assert played[form].asked[played[form].file_path(leaf)] == 1


@contextmanager
def empty(data: Path, port: int, played: Registry) -> Iterator[Running]:
    """A server that has nothing yet, at a port that was chosen before."""
    server = start(data, config=config(played.url), port=port)
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_lock_file_fills_an_empty_server(version: str, tmp_path: Path) -> None:
    leaf = Crate("locked-leaf", "1.4.0")
    tree = Crate("locked-tree", deps=(Dep(leaf.name),))
    port = free_port()
    url = f"http://127.0.0.1:{port}/cargo/main/"
    cargo = Cargo(toolchain(version), Home(tmp_path / "first"), {NAME: url})
    folder = project(tmp_path / "project", Dep(tree.name))
    with registry() as played:
        played.offer(leaf, tree)
        with empty(tmp_path / "one" / "var", port, played):
            assert fetched(cargo, folder) == {leaf.name: "1.4.0", tree.name: "1.0.0"}
        lock = (folder / "Cargo.lock").read_text()
        assert played.host not in lock
        played.offer(Crate(leaf.name, "1.9.0"))
        played.forget()
        second = other(cargo, tmp_path / "second")
        with empty(tmp_path / "two" / "var", port, played):
            second.run("fetch", "--locked", cwd=folder)
        assert used(second, folder) == [leaf.marker, tree.marker]
        files = {path: count for path, count in played.asked.items() if path.endswith("/download")}
        assert files == {played.file_path(each): 1 for each in (leaf, tree)}
        assert not any("authorization" in headers for headers in played.headers.values())


def test_what_is_here_installs_without_the_upstream(tmp_path: Path) -> None:
    crate, port = Crate("kept", "1.1.0"), free_port()
    with registry() as played:
        played.offer(crate)
        with empty(tmp_path / "var", port, played) as server:
            urls = {NAME: f"{server.url}cargo/main/"}
            first = Cargo(toolchain(), Home(tmp_path / "first"), urls)
            assert fetched(first, project(tmp_path / "one", Dep("kept"))) == {"kept": "1.1.0"}
    # The upstream has gone; the server starts anew, and everything it shows is older than it allows.
    server = start(tmp_path / "var", config=config(played.url), port=port, env={"RELIQUARY_PAGE_LIFE": "0"})
    try:
        second = Cargo(toolchain(), Home(tmp_path / "second"), urls)
        assert fetched(second, project(tmp_path / "two", Dep("kept"))) == {"kept": "1.1.0"}
    finally:
        server.stop()


def test_credentials_for_an_upstream_go_to_it_alone(tmp_path: Path) -> None:
    crate, known = Crate("entrusted"), basic("team", "s3cret")
    with registry(token=known) as played, registry() as storage:
        played.offer(crate)
        storage.offer(crate)
        played.moved = storage.url
        told = f'{{ url = "{played.url}", username = "team", password = "s3cret" }}'
        settings = f'upstreams = {{ cargo = [{told}], npm = "none", pypi = "none", go = "none" }}'
        with running(tmp_path / "server" / "var", config=settings) as server:
            cargo = Cargo(toolchain(), Home(tmp_path / "home"), {NAME: f"{server.url}cargo/main/"})
            assert fetched(cargo, project(tmp_path / "project", Dep(crate.name))) == {crate.name: "1.0.0"}
        assert played.headers[played.file_path(crate)]["authorization"] == known
        assert "authorization" not in storage.headers[storage.file_path(crate)]


def test_a_server_behind_a_closed_server(world: World, tmp_path: Path) -> None:
    own, public = Crate("inner-own", deps=(Dep("inner-public"),)), Crate("inner-public", "1.2.0+x")
    world.publish(own, closed=True)
    world.played.offer(public)
    inner = world.url("group", closed=True)
    told = f'{{ url = "{inner}", username = "__token__", password = "{world.server.token}" }}'
    settings = f'upstreams = {{ cargo = [{told}], npm = "none", pypi = "none", go = "none" }}'
    with running(tmp_path / "outer" / "var", config=settings) as outer:
        cargo = Cargo(toolchain(), Home(tmp_path / "home"), {NAME: f"{outer.url}cargo/main/"})
        folder = project(tmp_path / "project", Dep(own.name))
        assert fetched(cargo, folder) == {own.name: "1.0.0", public.name: public.version}
        assert used(cargo, folder) == [own.marker, public.marker]
        assert f'{own.name} = "1.0.0"' in cargo.run("search", own.name, *TO).output
        inside, outside = (
            world.ask("GET", "group", "in/ne/inner-own", closed=True),
            outer.ask("/cargo/main/in/ne/inner-own"),
        )
        assert outside.body == inside.body


def test_many_cargos_at_once_ask_the_upstream_once(world: World, tmp_path: Path) -> None:
    crates = [Crate(f"rush-{number}", "1.0.0") for number in range(12)]
    world.played.offer(*crates)
    names = [Dep(crate.name) for crate in crates]
    cargos = [world.cargo(tmp_path / f"home-{number}") for number in range(4)]
    folders = [project(tmp_path / f"project-{number}", *names) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fetched, cargos, folders))
    assert found == [{crate.name: "1.0.0" for crate in crates}] * 4
    paths = [path(crate) for crate in crates for path in (world.played.file_path, _index_path)]
    assert {path: world.played.asked[path] for path in paths} == dict.fromkeys(paths, 1)


def _index_path(crate: Crate) -> str:
    return f"{crate.name[:2]}/{crate.name[2:4]}/{crate.name}"


def test_a_large_crate(world: World, tmp_path: Path) -> None:
    folder = Crate("weighty").write(tmp_path / "weighty")
    (folder / "noise.bin").write_bytes(random.Random(7).randbytes(9_000_000))
    author = world.cargo(tmp_path / "author", token=True)
    author.run("publish", "--no-verify", *TO, cwd=folder)
    reader = world.cargo(tmp_path / "reader")
    assert fetched(reader, project(tmp_path / "project", Dep("weighty"))) == {"weighty": "1.0.0"}
    (kept,) = reader.folder.glob("registry/cache/*/weighty-1.0.0.crate")
    assert kept.stat().st_size > 9_000_000
    shutil.rmtree(reader.folder)


def test_a_crate_that_is_too_large_is_refused_in_words(tmp_path: Path) -> None:
    with registry() as played:
        settings = f'upload_limit = "64 KiB"\n{config(played.url)}'
        with running(tmp_path / "server" / "var", config=settings) as server:
            world = World(server, played)
            folder = Crate("too-large").write(tmp_path / "too-large")
            (folder / "noise.bin").write_bytes(random.Random(8).randbytes(3_000_000))
            for version in VERSIONS:
                author = world.cargo(tmp_path / version, version=version, token=True)
                said = author.run("publish", "--no-verify", *TO, cwd=folder, fails=True).output
                assert "(status 413 " in said, said
                assert "65536" in said.partition("413")[2], said
            assert world.lines("too-large") == []


def nightly() -> str:
    """The version of a nightly cargo, which alone does what is not settled yet."""
    found = next((version for version in VERSIONS if "nightly" in version), None)
    if found is None:
        pytest.skip("no nightly cargo is on this machine")
    return found


def test_what_is_not_settled_yet_is_kept(world: World, tmp_path: Path) -> None:
    """cargo.md, edge case 26; whether a dependency is public, cargo itself does not send."""
    author = world.cargo(tmp_path / "author", version=nightly(), token=True)
    for crate in (Crate("novel-leaf"), Crate("novel-tool", command=True)):
        author.run("publish", "--no-verify", *TO, cwd=crate.write(tmp_path / crate.name, NAME))
    folder = Crate("novel-tree").write(tmp_path / "novel-tree", NAME)
    manifest = folder / "Cargo.toml"
    about = manifest.read_text().replace("[features]", "")
    leaf = f'novel-leaf = {{ version = "1", registry = "{NAME}", public = true }}'
    artifact = 'artifact = ["bin:novel-tool"], lib = true, target = "target"'
    tool = f'novel-tool = {{ version = "1", registry = "{NAME}", {artifact} }}'
    lines = ['cargo-features = ["public-dependency"]', about, "[dependencies]", leaf, "[build-dependencies]", tool]
    manifest.write_text("\n".join([*lines, ""]))
    (folder / "build.rs").write_text("fn main() {}\n")
    author.run("publish", "--no-verify", "-Zbindeps", *TO, cwd=folder)
    (line,) = world.lines("novel-tree")
    deps = {dep["name"]: dep for dep in line["deps"]}
    assert line["v"] == 3
    assert deps["novel-tool"]["artifact"] == ["bin:novel-tool"]
    assert deps["novel-tool"]["lib"] is True
    assert deps["novel-tool"]["bindep_target"] == "target"
    program = project(tmp_path / "project", Dep("novel-tree"))
    author.run("fetch", "-Zbindeps", cwd=program)
    assert {name: version for name, (version, _) in locked(program).items()} == dict.fromkeys(
        ("novel-leaf", "novel-tool", "novel-tree"), "1.0.0"
    )


@pytest.mark.parametrize("kind", ["hosted", "proxy", "group"])
def test_times_of_publication_are_told(kind: str, world: World, tmp_path: Path) -> None:
    """A nightly cargo resolves as of a moment; every version needs its ``pubtime`` for that."""
    name = f"dated-{kind}"
    cargo = world.cargo(tmp_path / "home", kind, version=nightly())
    folder = project(tmp_path / "project", Dep(name))
    at = ("generate-lockfile", "-Zunstable-options", "--publish-time")
    if kind == "hosted":
        world.publish(Crate(name))
        moment = world.lines(name, kind)[0]["pubtime"]
        cargo.run(*at, moment, cwd=folder)
        assert locked(folder)[name][0] == "1.0.0"
        cargo.run("update", cwd=folder)
        return
    world.played.offer(Crate(name, "1.0.0"), pubtime="2026-01-02T03:04:05Z")
    world.played.offer(Crate(name, "1.1.0"), pubtime="2026-02-02T03:04:05Z")
    cargo.run(*at, "2026-01-31T00:00:00Z", cwd=folder)
    assert locked(folder)[name][0] == "1.0.0"
    cargo.run(*at, "2026-02-03T00:00:00Z", cwd=folder)
    assert locked(folder)[name][0] == "1.1.0"
