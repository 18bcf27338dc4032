"""The public registry behind this machine, as a server without any settings finds it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.cargo.samples import Dep
from tests.clients.cargo.tools import Cargo, Home, toolchain
from tests.clients.cargo.world import NAME, locked, project, used
from tests.clients.tools import absent
from tests.running import Running, running, start

pytestmark = [pytest.mark.client, pytest.mark.real]

PUBLIC = ("itoa", "semver", "fnv")

MANIFEST = """
[package]
name = "reliquary-own-sample"
version = "0.1.0"
edition = "2021"
license = "MIT"
description = "A sample"

[dependencies]
itoa = "1"
semver = "1"
fnv = "1"
"""

LIBRARY = """
pub fn marks() -> String {
    let text = itoa::Buffer::new().format(7).to_string();
    format!("reliquary-own-sample@0.1.0 {}", semver::Version::parse(&text).is_err())
}
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server without settings, whose upstream answers; skips where there is none."""
    with running(tmp_path_factory.mktemp("real") / "var") as server:
        answer = server.ask("/cargo/upstream/it/oa/itoa", timeout=60)
        if answer.status == 404 and b"no repository" in answer.body:
            pytest.skip("this machine has no upstream")
        if answer.status != 200:
            absent(f"the upstream of this machine does not answer: {answer.status} {answer.reason}")
        yield server


def test_build_publish_and_build_against_it(found: Running, tmp_path: Path) -> None:
    url = f"{found.url}cargo/main/"
    author = Cargo(toolchain(), Home(tmp_path / "author"), {NAME: url}, {NAME: found.token}, replaced=NAME)
    author.needs_compiler()
    folder = tmp_path / "reliquary-own-sample"
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(MANIFEST)
    (folder / "src" / "lib.rs").write_text(LIBRARY)
    said = author.run("publish", "--registry", NAME, cwd=folder, timeout=150).output
    assert "Published reliquary-own-sample v0.1.0" in said, said
    reader = replace(author, home=Home(tmp_path / "reader"), tokens={})
    program = project(tmp_path / "program", Dep("reliquary-own-sample", "0.1"))
    reader.run("fetch", cwd=program)
    assert set(locked(program)) == {"reliquary-own-sample", *PUBLIC}
    assert used(reader, program) == ["reliquary-own-sample@0.1.0", "true"]
    found.stop()
    again = start(found.data, port=found.port, env={"RELIQUARY_OFFLINE": "true"})
    try:
        third = replace(reader, home=Home(tmp_path / "third"))
        third.run("fetch", "--locked", cwd=program)
        assert used(third, program) == ["reliquary-own-sample@0.1.0", "true"]
    finally:
        again.stop()
    assert "Traceback" not in found.log.read_text()
