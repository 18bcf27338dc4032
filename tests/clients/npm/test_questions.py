"""What clients ask without installing: view, search, outdated, audits, signatures, pack."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.npm.clients import CLIENTS, Client, required
from tests.clients.npm.samples import Sample
from tests.clients.npm.upstream import registry
from tests.clients.npm.world import World, config
from tests.running import running

pytestmark = [pytest.mark.client, pytest.mark.matrix]

NPMS = ("npm", "npm11")
# Yarn 1 is left out: its audit asks its own public registry, whatever its settings name.
AUDITS = {
    "npm": ("audit", "--json"),
    "npm11": ("audit", "--json"),
    "pnpm": ("audit", "--json"),
    "pnpm10": ("audit", "--json"),
    "yarn": ("npm", "audit", "--json"),
    "bun": ("audit", "--json"),
}

# Before it asks a registry for its keys npm looks into a public store of keys, and gives up without it.
NO_STORE = """
const module_ = require("module"), load = module_._load
const nothing = () => Promise.reject(Object.assign(new Error("not there"), { code: "TUF_FIND_TARGET_ERROR" }))
module_._load = function (name, ...rest) {
  return name === "@sigstore/tuf" ? { initTUF: async () => ({ getTarget: nothing }) } : load.call(this, name, ...rest)
}
"""


def signatures(client: Client, folder: Path, *, fails: bool = False) -> str:
    """What npm says of the signatures of a project's packages."""
    preload = folder / "no-store.cjs"
    preload.write_text(NO_STORE)
    return client.run(
        "audit", "signatures", cwd=folder, env={"NODE_OPTIONS": f"--require {preload}"}, fails=fails
    ).output


def installed(client: Client, folder: Path, *wanted: str) -> Path:
    """A project with these packages."""
    client.project(folder)
    client.install(folder, *wanted)
    return folder


@pytest.mark.parametrize("kind", ["hosted", "proxy", "group"])
@pytest.mark.parametrize("name", CLIENTS)
def test_view(name: str, kind: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"@{name}-{kind}/viewed", "1.3.0", dependencies={"left": "^1.0.0"})
    if kind == "hosted":
        world.publish(sample)
    else:
        world.played.offer(sample)
    client = world.client(name, tmp_path / "home", kind)
    said = client.view(sample.name, client.project(tmp_path / "project")).output
    assert "1.3.0" in said
    assert "sample viewed: Größe, 大きさ" in said
    assert sample.shasum in said
    assert world.played.host not in said
    # Yarn 1 says that something is wrong, and ends as if nothing were.
    client.view(f"{sample.name}-missing", tmp_path / "project", fails=name != "yarn1")


@pytest.mark.parametrize("name", [*NPMS, "pnpm"])
def test_search_finds_what_is_here_and_what_is_there(name: str, world: World, tmp_path: Path) -> None:
    here, there = Sample(f"needle-{name}-here"), Sample(f"@needle-{name}/there")
    world.publish(here)
    world.played.offer(there)
    client = world.client(name, tmp_path / "home")
    found = json.loads(client.run("search", f"needle-{name}", "--json").output)
    assert {each["name"] for each in found} >= {here.name, there.name}


@pytest.mark.parametrize("name", CLIENTS)
def test_outdated(name: str, world: World, tmp_path: Path) -> None:
    if name == "yarn":
        pytest.skip("Yarn 4 has no such command")
    samples = [Sample(f"aged-{name}", version) for version in ("1.0.0", "1.1.0", "2.0.0")]
    world.played.offer(*samples)
    client = world.client(name, tmp_path / "home")
    folder = installed(client, tmp_path / "project", f"{samples[0].name}@1.0.0")
    said = client.run("outdated", cwd=folder, fails=name != "bun").output
    assert "1.0.0" in said
    assert "2.0.0" in said


@pytest.mark.parametrize("name", AUDITS)
def test_an_audit_tells_what_the_upstream_knows(name: str, world: World, tmp_path: Path) -> None:
    sample, own = Sample(f"holey-{name}"), Sample(f"private-{name}")
    world.played.offer(sample)
    world.played.warn(sample.name, "<2.0.0", f"hole in {name}")
    world.publish(own)
    client = world.client(name, tmp_path / "home")
    folder = installed(client, tmp_path / "project", sample.name, own.name)
    said = client.run(*AUDITS[name], cwd=folder, fails=True).output
    assert f"hole in {name}" in said


@pytest.mark.parametrize("name", AUDITS)
def test_an_audit_is_quick_where_no_upstream_answers(name: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"sound-{name}")
    world.publish(sample)
    client = world.client(name, tmp_path / "home", "hosted")
    folder = installed(client, tmp_path / "project", sample.name)
    begun = time.monotonic()
    client.run(*AUDITS[name], cwd=folder)
    assert time.monotonic() - begun < 15


@pytest.fixture(scope="module")
def lame(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server of its own, whose upstream has no working audit."""
    with registry() as played:
        for path in ("advisories/bulk", "audits", "audits/quick"):
            played.fail(f"-/npm/v1/security/{path}", 500)
        with running(tmp_path_factory.mktemp("lame") / "var", config=config(played.url)) as server:
            yield World(server, played)


@pytest.mark.parametrize("name", AUDITS)
def test_an_audit_is_quick_where_the_upstream_fails(name: str, lame: World, tmp_path: Path) -> None:
    own = Sample(f"alone-{name}")
    lame.publish(own)
    client = lame.client(name, tmp_path / "home")
    folder = installed(client, tmp_path / "project", own.name)
    begun = time.monotonic()
    client.run(*AUDITS[name], cwd=folder)
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("kind", ["hosted", "proxy", "group"])
@pytest.mark.parametrize("name", NPMS)
def test_signatures_are_good(name: str, kind: str, world: World, tmp_path: Path) -> None:
    here, there = Sample(f"signed-{name}-{kind}-here"), Sample(f"@signed-{name}-{kind}/there")
    world.publish(here)
    world.played.offer(there)
    wanted = {"hosted": [here.name], "proxy": [there.name], "group": [here.name, there.name]}[kind]
    client = world.client(name, tmp_path / "home", kind)
    folder = installed(client, tmp_path / "project", *wanted)
    said = signatures(client, folder)
    assert f"{len(wanted)} package" in said
    assert "verified registry signature" in said


@pytest.mark.parametrize("name", NPMS)
def test_a_version_without_a_signature_is_told(name: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"unsigned-{name}")
    world.played.offer(sample, signed=False)
    client = world.client(name, tmp_path / "home", "proxy")
    folder = installed(client, tmp_path / "project", sample.name)
    assert "missing registry signature" in signatures(client, folder, fails=True)


@pytest.mark.parametrize("name", [*NPMS, "pnpm10"])
def test_pack_and_install_the_file(name: str, world: World, tmp_path: Path) -> None:
    sample = Sample(f"@{name}-packed/leaf")
    world.played.offer(sample)
    client = world.client(name, tmp_path / "home")
    folder = client.project(tmp_path / "project")
    made = sample.pack(tmp_path / "made")
    client.install(folder, str(made))
    assert required(client.home, folder, sample.name) == [sample.marker]
    if name in NPMS:
        client.run("pack", f"{sample.name}@1", cwd=folder)
        assert (folder / f"{name}-packed-{sample.filename}").read_bytes() == sample.tarball
