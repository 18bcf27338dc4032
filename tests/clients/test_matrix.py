"""The long form: every installer at every kind of repository, and a day's worth of real wheels."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.clients.samples import Sample, offer
from tests.clients.tools import Home, absent, tool
from tests.running import Running, running
from tests.upstreams import Upstream

pytestmark = [pytest.mark.client, pytest.mark.matrix]

CLIENTS = ("pip23", "pip24", "pip25", "pip", "uv")
KINDS = ("local", "upstream", "main", "bare", "both")
REAL = (
    "attrs", "certifi", "charset-normalizer", "click", "colorama", "flask", "idna", "itsdangerous", "jinja2",
    "jsonschema", "markdown", "markupsafe", "packaging", "pluggy", "pydantic", "pygments", "pytest", "pyyaml",
    "requests", "rich", "six", "sqlalchemy", "starlette", "typer", "urllib3", "werkzeug",
)  # fmt: skip


def command(client: str, index: str, cache: bool) -> list[str | Path]:
    """An installer up to what it installs."""
    if client == "uv":
        alone = [] if cache else ["--no-cache"]
        return [tool("uv") / "uv", "pip", "install", *alone, "--python", sys.executable, "--default-index", index]
    alone = [] if cache else ["--no-cache-dir"]
    return [tool(client) / "python", "-m", "pip", "install", *alone, "--index-url", index]


@pytest.mark.parametrize("repository", KINDS)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_at_every_repository(
    client: str, repository: str, home: Home, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    leaf = Sample(f"matrix-leaf-{repository}-{client}")
    old = Sample(f"matrix-tree-{repository}-{client}", "1.0")
    new = Sample(old.name, "2.0rc1", requires=(f"{leaf.name}==1.0",))
    best = Sample(old.name, "1.10", requires=(f"{leaf.name}>=1",))
    if repository == "local":
        for each in (leaf, old, new, best):
            assert server.put(f"/pypi/local/{each.filename}", each.wheel).status == 201
    else:
        offer(upstream, leaf)
        offer(upstream, old, best, new)
    index = f"{server.url}pypi/{repository}/simple/"
    hashes = tmp_path / "hashes.txt"
    hashes.write_text("".join(f"{each.name}=={each.version} --hash=sha256:{each.digest}\n" for each in (leaf, best)))
    for name, arguments, cache in (
        ("cold", [best.name], True),
        ("again", [best.name], True),
        ("warm", [best.name], False),
        ("hashes", ["--require-hashes", "-r", str(hashes)], False),
    ):
        home.run(*command(client, index, cache), "--target", tmp_path / name, *arguments)
        assert "1.10" in (tmp_path / name / f"{best.module}.py").read_text()
        assert (tmp_path / name / f"{leaf.module}.py").is_file()
    home.run(*command(client, index, False), "--target", tmp_path / "pre", f"{best.name}==2.0rc1")
    assert "2.0rc1" in (tmp_path / "pre" / f"{best.module}.py").read_text()
    if repository != "local":
        assert upstream.hits(f"/files/{best.filename}", "GET") == 1


@pytest.mark.real
def test_many_real_wheels(home: Home, tmp_path: Path) -> None:
    with running(tmp_path / "var") as server:
        answer = server.ask("/pypi/upstream/simple/six/", timeout=60)
        if answer.status == 404 and b"no repository" in answer.body:
            pytest.skip("this machine has no upstream")
        if answer.status != 200:
            absent(f"the upstream of this machine does not answer: {answer.status} {answer.reason}")
        index = f"{server.url}pypi/main/simple/"
        pip = (tool("pip") / "python", "-m", "pip", "download", "--no-cache-dir", "--only-binary", ":all:")
        for folder in ("first", "second"):
            home.run(*pip, "--index-url", index, "--dest", tmp_path / folder, *REAL, timeout=170)
        first = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
        second = {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()}
        assert first == second
        assert len(first) >= len(REAL)
        uv = (tool("uv") / "uv", "pip", "install", "--no-cache", "--no-build", "--python", sys.executable)
        home.run(*uv, "--default-index", index, "--target", tmp_path / "site", *REAL, timeout=170)
