"""Every JavaScript client at every kind of repository, with and without a token: installs, publishes, lock files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.clients.npm.clients import CLIENTS, Client, required
from tests.clients.npm.samples import Sample
from tests.clients.npm.tools import Home
from tests.clients.npm.upstream import Registry, registry
from tests.clients.npm.world import World, config
from tests.running import Running, free_port, start

pytestmark = [pytest.mark.client, pytest.mark.matrix]

KINDS = ("hosted", "proxy", "group")


def provide(world: World, kind: str, *versions: Sample, closed: bool, tags: dict[str, str]) -> None:
    """Put the versions of one package to where a repository has its packages from, tagged."""
    if kind == "proxy":
        world.played.offer(*versions, tags=tags)
        return
    named = {version: tag for tag, version in tags.items()}
    for version in versions:
        world.publish(version, tag=named.get(version.version, "latest"), closed=closed)


@pytest.mark.parametrize("closed", [False, True], ids=["anonymous", "token"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CLIENTS)
def test_install_by_range_and_by_tag(name: str, kind: str, closed: bool, world: World, tmp_path: Path) -> None:
    case = f"{name}-{kind}-{'closed' if closed else 'open'}"
    leaves = [Sample(f"@{case}/leaf", version) for version in ("1.2.0", "1.10.0", "2.0.0")]
    trees = [
        Sample(f"tree-{case}", version, dependencies={leaves[0].name: "~1.10.0"}, command=True)
        for version in ("1.9.0", "1.11.0", "2.0.0-rc.1")
    ]
    # What a group holds of its own may ask for what only its upstream has.
    provide(world, "proxy" if kind == "group" else kind, *leaves, closed=closed, tags={"latest": "2.0.0"})
    provide(world, kind, *trees, closed=closed, tags={"latest": "1.11.0", "next": "2.0.0-rc.1"})
    client = world.client(name, tmp_path / "home", kind, closed=closed, token=closed)
    ranged = client.project(tmp_path / "ranged")
    client.install(ranged, f"{trees[0].name}@^1.0.0", f"{leaves[0].name}@1.2")
    assert required(client.home, ranged, leaves[0].name) == [leaves[0].marker]
    assert required(client.home, ranged, trees[0].name) == [trees[1].marker, leaves[1].marker]
    assert client.home.run(ranged / "node_modules" / ".bin" / trees[0].name).output == f"{trees[1].marker}\n"
    tagged = client.project(tmp_path / "tagged")
    client.install(tagged, f"{trees[0].name}@next", f"{leaves[0].name}@latest")
    assert required(client.home, tagged, trees[0].name) == [trees[2].marker, leaves[1].marker]
    assert required(client.home, tagged, leaves[0].name) == [leaves[2].marker]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CLIENTS)
def test_a_closed_repository_asks_who_is_there(name: str, kind: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"@{name}-{kind}-secret/leaf")
    provide(world, "proxy" if kind == "proxy" else "hosted", sample, closed=True, tags={})
    client = world.client(name, tmp_path / "home", kind, closed=True)
    folder = client.project(tmp_path / "project")
    said = client.install(folder, f"{sample.name}@^1.0.0", fails=True).output
    # Yarn 1 prints what the answer says, the others its status.
    assert any(word in said for word in ("401", "Invalid authentication", "credentials are needed")), said
    assert not (folder / "node_modules" / sample.name).exists()


@pytest.mark.parametrize("name", CLIENTS)
def test_publish_through_the_group(name: str, world: World, tmp_path: Path) -> None:
    leaf = Sample(f"@{name}-published/leaf", "1.0.0")
    tree = Sample(f"published-{name}", "0.1.0", dependencies={leaf.name: "^1.0.0"}, command=True)
    beta = Sample(tree.name, "0.2.0-beta.1", dependencies=tree.dependencies)
    author = world.client(name, tmp_path / "author", token=True)
    author.publish(leaf, tmp_path / "leaf")
    author.publish(tree, tmp_path / "tree")
    author.publish(beta, tmp_path / "beta", tag="beta")
    assert world.document(tree.name, "hosted")["dist-tags"] == {"latest": "0.1.0", "beta": "0.2.0-beta.1"}
    for kind in ("group", "hosted"):
        reader = world.client(name, tmp_path / kind / "home", kind)
        folder = reader.project(tmp_path / kind / "project")
        reader.install(folder, f"{tree.name}@~0.1.0")
        assert required(reader.home, folder, tree.name) == [tree.marker, leaf.marker]
        tagged = reader.project(tmp_path / kind / "tagged")
        reader.install(tagged, f"{tree.name}@beta")
        assert required(reader.home, tagged, tree.name) == [beta.marker, leaf.marker]


@pytest.mark.parametrize("name", CLIENTS)
def test_a_version_is_published_once(name: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"once-{name}")
    other = Sample(sample.name, more={"description": "other bytes"})
    author = world.client(name, tmp_path / "author", token=True)
    author.publish(sample, tmp_path / "first")
    before = world.document(sample.name)["versions"]["1.0.0"]["dist"]
    said = author.publish(other, tmp_path / "second", fails=True).output
    assert "cannot publish over" in " ".join(said.replace("│", " ").split()), said
    assert world.document(sample.name)["versions"]["1.0.0"]["dist"] == before


@pytest.mark.parametrize("name", CLIENTS)
def test_nobody_publishes_without_a_token(name: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"stranger-{name}")
    world.client(name, tmp_path / "home").publish(sample, tmp_path / "package", fails=True)
    assert world.ask("GET", "hosted", sample.name).status == 404


@pytest.mark.parametrize("kind", ["proxy", "group"])
@pytest.mark.parametrize("name", ["npm", "npm11", "pnpm", "pnpm10", "yarn", "bun"])
def test_versions_too_young_are_passed_over(name: str, kind: str, world: World, tmp_path: Path) -> None:
    samples = [Sample(f"@{name}-{kind}/young", version) for version in ("1.0.0", "1.1.0")]
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    world.played.offer(*samples, dates={"1.1.0": hour_ago.strftime("%Y-%m-%dT%H:%M:%S.000Z")})
    client = world.client(name, tmp_path / "home", kind)
    folder = client.project(tmp_path / "project")
    words: dict[str, tuple[str, ...]] = {"bun": ("--minimum-release-age=86400",)}
    words |= dict.fromkeys(("npm", "npm11"), (f"--before={hour_ago - timedelta(days=1):%Y-%m-%d}",))
    day = {"PNPM_CONFIG_MINIMUM_RELEASE_AGE": "1440", "npm_config_minimum_release_age": "1440"}
    environment = {"yarn": {"YARN_NPM_MINIMAL_AGE_GATE": "1d"}, "pnpm": day, "pnpm10": day}.get(name, {})
    client.run(*client.add, *words.get(name, ()), f"{samples[0].name}@^1.0.0", cwd=folder, env=environment)
    assert required(client.home, folder, samples[0].name) == [samples[0].marker]


@pytest.mark.parametrize("name", CLIENTS)
def test_tarballs_of_an_unconventional_upstream(name: str, world: World, tmp_path: Path) -> None:
    leaf = Sample(f"@{name}-odd/leaf")
    tree = Sample(f"odd-{name}", dependencies={leaf.name: "1"})
    world.played.offer(leaf, unconventional=True, time=False)
    world.played.offer(tree, unconventional=True, validators=False, signed=False)
    client = world.client(name, tmp_path / "home")
    folder = client.project(tmp_path / "project")
    client.install(folder, f"{tree.name}@latest")
    assert required(client.home, folder, tree.name) == [tree.marker, leaf.marker]
    lock = (folder / client.lockfile).read_text()
    assert "/download/" not in lock
    assert world.played.host not in lock


@pytest.mark.parametrize("name", CLIENTS)
def test_bytes_that_are_not_what_the_index_says_are_not_installed(name: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"forged-{name}")
    world.played.offer(sample, wrong=("1.0.0",))
    client = world.client(name, tmp_path / "home", "proxy")
    folder = client.project(tmp_path / "project")
    client.install(folder, f"{sample.name}@1.0.0", fails=True)
    assert not (folder / "node_modules" / sample.name).exists()


@contextmanager
def empty(data: Path, port: int, played: Registry) -> Iterator[Running]:
    """A server that has nothing yet, at a port that was chosen before."""
    server = start(data, config=config(played.url), port=port)
    try:
        yield server
    finally:
        server.stop()


def fill(client: Client, folder: Path, wanted: Sequence[str]) -> Path:
    """Make a project with a lock file."""
    client.project(folder)
    client.install(folder, *wanted)
    return folder


@pytest.mark.parametrize("name", CLIENTS)
def test_a_lock_file_fills_an_empty_server(name: str, tmp_path: Path) -> None:
    leaf = Sample("@locked/leaf", "1.4.0")
    tree = Sample("locked-tree", "1.0.0", dependencies={leaf.name: "^1.0.0"})
    port = free_port()
    url = f"http://127.0.0.1:{port}/npm/main/"
    with registry() as played:
        played.offer(leaf)
        played.offer(tree)
        first = CLIENTS[name](Home(tmp_path / "first"), url)
        with empty(tmp_path / "one" / "var", port, played):
            folder = fill(first, tmp_path / "project", [f"{tree.name}@^1.0.0"])
        lock = (folder / first.lockfile).read_text()
        assert played.host not in lock
        assert "1.4.0" in lock
        played.offer(leaf, Sample(leaf.name, "1.9.0"))
        played.forget()
        shutil.rmtree(folder / "node_modules")
        second = CLIENTS[name](Home(tmp_path / "second"), url)
        with empty(tmp_path / "two" / "var", port, played):
            second.install_locked(folder)
        assert required(second.home, folder, tree.name) == [tree.marker, leaf.marker]
        assert (folder / first.lockfile).read_text() == lock
        tarballs = {path: count for path, count in played.asked.items() if path.endswith(".tgz")}
        assert tarballs == {f"{each.name}/-/{each.filename}": 1 for each in (leaf, tree)}
        assert not any("authorization" in headers for headers in played.headers.values())


@pytest.mark.parametrize("name", CLIENTS)
def test_what_is_here_installs_without_the_upstream(name: str, tmp_path: Path) -> None:
    sample = Sample("kept")
    with registry() as played:
        played.offer(sample)
        port = free_port()
        with empty(tmp_path / "var", port, played) as server:
            first = CLIENTS[name](Home(tmp_path / "first"), f"{server.url}npm/upstream/")
            fill(first, tmp_path / "one", [sample.name])
            for path in (sample.name, f"{sample.name}/-/{sample.filename}"):
                played.fail(path, 500)
            second = CLIENTS[name](Home(tmp_path / "second"), f"{server.url}npm/upstream/")
            folder = fill(second, tmp_path / "two", [f"{sample.name}@^1.0.0"])
            assert required(second.home, folder, sample.name) == [sample.marker]
