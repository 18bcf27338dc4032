"""The public module proxy and checksum database behind this machine, as a server without any settings finds them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.go.tools import Go, command, project
from tests.clients.tools import Home, absent
from tests.formats.go.artefacts import gomod, module_zip
from tests.running import Running, running, start

pytestmark = [pytest.mark.client, pytest.mark.real]

PUBLIC = "rsc.io/quote"
OWN = "corp.example.com/own/v2"
CODE = f'package own\n\nimport "{PUBLIC}"\n\nfunc Word() string {{ return "own: " + quote.Go() }}\n'.encode()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server without settings, whose upstream answers; skips where there is none."""
    with running(tmp_path_factory.mktemp("real") / "var") as server:
        answer = server.ask(f"/go/upstream/{PUBLIC}/@v/v1.5.2.info", timeout=60)
        if answer.status == 404 and b"no repository" in answer.body:
            pytest.skip("this machine has no upstream")
        if answer.status != 200:
            absent(f"the upstream of this machine does not answer: {answer.status} {answer.reason}")
        yield server


def sums() -> str:
    """The checksum database that go asks by default."""
    told = subprocess.run(
        [command().path, "env", "GOSUMDB"],
        capture_output=True,
        text=True,
        check=True,
        env={"GOENV": "off", "HOME": "/"},
    )
    return told.stdout.strip()


@pytest.mark.matrix
@pytest.mark.parametrize("version", ["1.23.0", "1.21.13"])
def test_35_an_older_go_comes_as_a_module_and_works(found: Running, tmp_path: Path, version: str) -> None:
    go = Go(command(), Home(tmp_path / "home"), f"{found.url}go/main", sums=sums(), private="corp.example.com")
    machine = "-".join(go.run("env", "GOOS", "GOARCH").output.split())
    place = f"golang.org/toolchain/@v/v0.0.1-go{version}.{machine}.info"
    if found.ask(f"/go/main/{place}", timeout=60).status != 200:
        absent(f"the upstream of this machine has no go {version}")
    older = replace(go, more={"GOTOOLCHAIN": f"go{version}"})
    assert older.run("version", timeout=170).output.splitlines()[-1].startswith(f"go version go{version} ")
    assert set(older.download(f"{PUBLIC}@v1.5.2")) == {f"{PUBLIC}@v1.5.2"}
    own = f"corp.example.com/older/{version}"
    assert found.put("/go/main/upload", module_zip(own, "v1.0.0")).status == 201
    assert older.module(f"{own}@latest")["Version"] == "v1.0.0"


def test_a_program_of_public_and_private_modules(found: Running, tmp_path: Path) -> None:
    body = module_zip(OWN, "v2.0.0", mod=gomod(OWN, require={PUBLIC: "v1.5.2"}), files={"own.go": CODE})
    assert found.put("/go/main/upload", body).status == 201
    go = Go(command(), Home(tmp_path / "home"), f"{found.url}go/main", sums=sums(), private="corp.example.com")
    program = project(tmp_path / "program", f"{OWN} v2.0.0", imports=(OWN,), prints="own.Word()")
    go.run("mod", "tidy", cwd=program, timeout=150)
    said = go.run("run", ".", cwd=program, timeout=170).output.splitlines()[-1]
    assert said.startswith("own: Don't communicate by sharing memory")
    assert found.ask(f"/go/main/sumdb/{sums()}/supported").status == 200
    found.stop()
    again = start(found.data, port=found.port, env={"RELIQUARY_OFFLINE": "true"})
    try:
        other = replace(go, home=Home(tmp_path / "other"))
        (program / "go.sum").unlink()
        other.run("mod", "tidy", cwd=program)
        assert other.run("mod", "verify", cwd=program).output.strip() == "all modules verified"
    finally:
        again.stop()
    assert "Traceback" not in found.log.read_text()
