"""The played upstream is a registry for the real cargo: what is proved of a server rests on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.cargo.samples import Crate, Dep, workspace
from tests.clients.cargo.tools import Cargo, Home, toolchain, versions
from tests.clients.cargo.upstream import FORMS, Registry, registry
from tests.clients.cargo.world import NAME, fetched, project, used

pytestmark = [pytest.mark.client, pytest.mark.matrix]


def cargo(played: Registry, folder: Path, version: str | None = None, token: str | None = None) -> Cargo:
    return Cargo(toolchain(version), Home(folder), {NAME: played.url}, {NAME: token} if token else {})


@pytest.mark.parametrize("version", versions())
def test_the_workspace_builds_from_the_played_upstream(version: str, tmp_path: Path) -> None:
    crates = workspace("played")
    with registry() as played:
        played.offer(*crates)
        client = cargo(played, tmp_path / "home", version)
        folder = project(tmp_path / "project", Dep("played-cli"), Dep("played_tests_kit", features=("stored",)))
        found = fetched(client, folder)
    assert found == {crate.name: crate.version for crate in crates}
    ran = used(client, folder)
    # What only builds elsewhere is fetched, but not used.
    assert set(ran) == {crate.marker for crate in crates}
    assert ran.count("played-extra@1.4.2") == 3


@pytest.mark.parametrize("dl", FORMS)
def test_files_lie_where_the_registry_says(dl: str, tmp_path: Path) -> None:
    crate = Crate("Odd_Name", "1.0.0+x")
    with registry(dl) as played:
        played.offer(crate)
        assert fetched(cargo(played, tmp_path / "home"), project(tmp_path / "project", Dep("Odd_Name"))) == {
            "Odd_Name": "1.0.0+x"
        }
        assert played.asked[played.file_path(crate)] == 1


def test_a_registry_wants_a_token(tmp_path: Path) -> None:
    with registry(token="right") as played:
        played.offer(Crate("secret"))
        folder = project(tmp_path / "project", Dep("secret"))
        cargo(played, tmp_path / "stranger").run("fetch", cwd=folder, fails=True)
        cargo(played, tmp_path / "wrong", token="wrong").run("fetch", cwd=folder, fails=True)
        assert fetched(cargo(played, tmp_path / "home", token="right"), folder) == {"secret": "1.0.0"}


def test_a_redirect_to_another_host_loses_the_token(tmp_path: Path) -> None:
    crate = Crate("stored-elsewhere")
    with registry(token="right") as played, registry() as storage:
        played.offer(crate)
        storage.offer(crate)
        played.moved = storage.url
        client = cargo(played, tmp_path / "home", token="right")
        assert fetched(client, project(tmp_path / "project", Dep(crate.name))) == {crate.name: "1.0.0"}
        assert played.headers[played.file_path(crate)]["authorization"] == "right"
        assert "authorization" not in storage.headers[storage.file_path(crate)]


def test_forged_bytes_are_not_taken(tmp_path: Path) -> None:
    crate = Crate("forged")
    with registry() as played:
        played.offer(crate)
        played.forge(crate)
        said = cargo(played, tmp_path / "home").run(
            "fetch", cwd=project(tmp_path / "project", Dep("forged")), fails=True
        )
        assert "checksum" in said.output
