"""poetry and pdm resolve, lock and install a project's dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clients.samples import Sample, offer
from tests.clients.tools import Home, tool
from tests.running import Running
from tests.upstreams import Upstream

pytestmark = pytest.mark.client

PROJECT = """
[project]
name = "consumer"
version = "0.1"
requires-python = ">=3.9,<4"
"""


def offered(upstream: Upstream, client: str) -> Sample:
    """A package with a dependency, at the upstream."""
    leaf = Sample(f"deep-{client}")
    tree = Sample(f"wide-{client}", requires=(f"{leaf.name}>=1",))
    offer(upstream, leaf)
    offer(upstream, tree)
    return tree


@pytest.mark.parametrize("repository", ["main", "both"])
def test_poetry_locks_and_adds(
    repository: str, home: Home, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    sample = offered(upstream, f"poetry-{repository}")
    folder = tmp_path / "consumer"
    folder.mkdir()
    source = f'[[tool.poetry.source]]\nname = "here"\nurl = "{server.url}pypi/{repository}/simple/"\n'
    mode = "[tool.poetry]\npackage-mode = false\n"
    (folder / "pyproject.toml").write_text(f'{PROJECT}\n{mode}\n{source}priority = "primary"\n')
    poetry = tool("poetry") / "poetry"
    home.run(poetry, "lock", cwd=folder)
    home.run(poetry, "add", f"{sample.name}>=1.0", cwd=folder)
    locked = (folder / "poetry.lock").read_text()
    assert f"sha256:{sample.digest}" in locked
    assert f'name = "deep-poetry-{repository}"' in locked
    _imports(home, folder, sample)


@pytest.mark.parametrize("repository", ["main", "both"])
def test_pdm_adds(repository: str, home: Home, server: Running, upstream: Upstream, tmp_path: Path) -> None:
    sample = offered(upstream, f"pdm-{repository}")
    folder = tmp_path / "consumer"
    folder.mkdir()
    source = f'[[tool.pdm.source]]\nname = "pypi"\nurl = "{server.url}pypi/{repository}/simple/"\n'
    (folder / "pyproject.toml").write_text(f"{PROJECT}\n[tool.pdm]\ndistribution = false\n\n{source}")
    home.run(tool("pdm") / "pdm", "add", f"{sample.name}>=1.0", cwd=folder)
    locked = (folder / "pdm.lock").read_text()
    assert f"sha256:{sample.digest}" in locked
    _imports(home, folder, sample)


def test_uv_locks_and_syncs(home: Home, server: Running, upstream: Upstream, tmp_path: Path) -> None:
    sample = offered(upstream, "uv")
    folder = tmp_path / "consumer"
    folder.mkdir()
    index = f'[[tool.uv.index]]\nname = "here"\nurl = "{server.url}pypi/main/simple/"\ndefault = true\n'
    (folder / "pyproject.toml").write_text(f"{PROJECT}\n{index}")
    uv = tool("uv") / "uv"
    read: Mapping[str, str] = {"UV_NO_CONFIG": "false"}
    home.run(uv, "add", f"{sample.name}>=1.0", cwd=folder, env=read)
    locked = (folder / "uv.lock").read_text()
    assert f"sha256:{sample.digest}" in locked
    assert f"size = {len(sample.wheel)}" in locked
    assert 'upload-time = "2026-01-02T03:04:05' in locked
    home.run(uv, "sync", "--locked", "--no-cache", "--reinstall", cwd=folder, env=read)
    _imports(home, folder, sample)


def _imports(home: Home, folder: Path, sample: Sample) -> None:
    leaf = sample.module.replace("wide", "deep")
    python = folder / ".venv" / "bin" / "python"
    printed = home.run(python, "-c", f"import {leaf}, {sample.module}; print({sample.module}.VERSION)").output
    assert "1.0" in printed
