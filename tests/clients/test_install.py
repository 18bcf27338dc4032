"""pip and uv install from hosted, proxy and group repositories."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.relay import relaying
from tests.clients.samples import Sample, offer
from tests.clients.tools import Home, tool
from tests.running import Running
from tests.upstreams import Upstream

pytestmark = pytest.mark.client

Install = Callable[..., str]
KINDS = ("local", "upstream", "main", "bare", "both")


@pytest.fixture(params=["pip", "uv"])
def install(request: pytest.FixtureRequest, home: Home) -> Install:
    """Installs into a folder: ``install(index, target, *arguments)``; returns what was printed."""
    name: str = request.param
    commands = tool(name)

    def run(index: str, target: Path, *arguments: str | Path, fails: bool = False) -> str:
        if name == "pip":
            first: list[str | Path] = [commands / "python", "-m", "pip", "install"]
            kind = "--index-url"
        else:
            first, kind = [commands / "uv", "pip", "install", "--python", sys.executable], "--default-index"
        return home.run(*first, kind, index, "--target", target, *arguments, fails=fails).output

    run.__name__ = name
    return run


def unique(name: str, install: Install) -> str:
    """A project name of this client's own, so that it is cold for each."""
    return f"{name}-{install.__name__}"


def publish(server: Running, *samples: Sample) -> None:
    for sample in samples:
        assert server.put(f"/pypi/local/{sample.filename}", sample.wheel).status == 201


def provide(server: Running, upstream: Upstream, repository: str, sample: Sample) -> None:
    """Put a sample to where the repository has its packages from."""
    if repository == "local":
        publish(server, sample)
    else:
        offer(upstream, sample)


@pytest.mark.parametrize("repository", KINDS)
def test_install_with_a_dependency_cold_and_warm(
    repository: str, install: Install, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    leaf = Sample(unique(f"leaf-{repository}", install), text=f"A = {repository!r}\n")
    tree = Sample(unique(f"tree-{repository}", install), requires=(leaf.name,))
    for each in (leaf, tree):
        provide(server, upstream, repository, each)
    index = f"{server.url}pypi/{repository}/simple/"
    install(index, tmp_path / "cold", tree.name)
    assert (tmp_path / "cold" / f"{tree.module}.py").is_file()
    assert (tmp_path / "cold" / f"{leaf.module}.py").is_file()
    asked = upstream.hits(f"/files/{leaf.filename}", "GET")
    assert asked == (0 if repository == "local" else 1)
    alone = "--no-cache" if install.__name__ == "uv" else "--no-cache-dir"
    install(index, tmp_path / "warm", alone, tree.name)
    assert (tmp_path / "warm" / f"{leaf.module}.py").is_file()
    assert upstream.hits(f"/files/{leaf.filename}", "GET") == asked


def test_required_hashes(install: Install, server: Running, upstream: Upstream, tmp_path: Path) -> None:
    sample = Sample(unique("hashed", install))
    offer(upstream, sample)
    index = f"{server.url}pypi/main/simple/"
    right, wrong = tmp_path / "right.txt", tmp_path / "wrong.txt"
    right.write_text(f"{sample.name}==1.0 --hash=sha256:{sample.digest}\n")
    wrong.write_text(f"{sample.name}==1.0 --hash=sha256:{'0' * 64}\n")
    install(index, tmp_path / "a", "--require-hashes", "-r", right)
    assert (tmp_path / "a" / f"{sample.module}.py").is_file()
    printed = install(index, tmp_path / "b", "--require-hashes", "-r", wrong, fails=True)
    assert "hash" in printed.lower()


def test_an_address_of_a_lock_file_on_an_empty_cache(
    install: Install, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    sample = Sample(unique("locked", install))
    offer(upstream, sample)
    address = f"{server.url}pypi/main/files/{sample.name}/{sample.digest}/{sample.filename}"
    install(f"{server.url}pypi/main/simple/", tmp_path / "a", f"{sample.name} @ {address}#sha256={sample.digest}")
    assert (tmp_path / "a" / f"{sample.module}.py").is_file()


@pytest.mark.parametrize("repository", ["local", "upstream", "bare"])
def test_a_yanked_release_is_taken_only_by_its_number(
    repository: str, install: Install, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    name = unique(f"yanked-{repository}", install)
    good, bad = Sample(name, "1.0"), Sample(name, "2.0")
    if repository == "local":
        publish(server, good, bad)
        path = f"/pypi/local/manage/{name}/2.0/yank"
        assert server.put(path, b'it "breaks" <things>').status == 200
    else:
        offer(upstream, good, bad, yanked=("2.0",))
    index = f"{server.url}pypi/{repository}/simple/"
    install(index, tmp_path / "any", name)
    assert "1.0" in (tmp_path / "any" / f"{good.module}.py").read_text()
    printed = install(index, tmp_path / "exact", f"{name}==2.0")
    assert "2.0" in (tmp_path / "exact" / f"{good.module}.py").read_text()
    assert "yanked" in printed


def test_an_unknown_name_is_not_found(install: Install, server: Running, tmp_path: Path) -> None:
    printed = install(f"{server.url}pypi/main/simple/", tmp_path / "a", "nobody-made-this", fails=True)
    assert "nobody-made-this" in printed


def test_a_hosted_name_hides_the_public_one(
    install: Install, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    name = unique("ours", install)
    publish(server, Sample(name, "1.0"))
    offer(upstream, Sample(name, "9.0"))
    install(f"{server.url}pypi/main/simple/", tmp_path / "a", name)
    assert "1.0" in (tmp_path / "a" / f"{name.replace('-', '_')}.py").read_text()


def test_pip_download_and_index_versions(home: Home, server: Running, upstream: Upstream, tmp_path: Path) -> None:
    leaf = Sample("gathered-leaf")
    offer(upstream, leaf)
    offer(upstream, Sample("gathered", "1.0"), Sample("gathered", "1.5", requires=(leaf.name,)))
    pip = (tool("pip") / "python", "-m", "pip")
    index = f"{server.url}pypi/main/simple/"
    home.run(*pip, "download", "--index-url", index, "--dest", tmp_path / "all", "gathered")
    assert {path.name for path in (tmp_path / "all").iterdir()} == {
        "gathered-1.5-py3-none-any.whl",
        "gathered_leaf-1.0-py3-none-any.whl",
    }
    printed = home.run(*pip, "index", "versions", "--index-url", index, "gathered").output
    assert "Available versions: 1.5, 1.0" in printed


def test_pip_knows_ages_when_the_upstream_does(home: Home, server: Running, upstream: Upstream, tmp_path: Path) -> None:
    offer(upstream, Sample("aged"))
    pip = (tool("pip") / "python", "-m", "pip", "download", "--index-url", f"{server.url}pypi/main/simple/")
    home.run(*pip, "--dest", tmp_path / "a", "--uploaded-prior-to", "2026-01-03", "aged")
    home.run(*pip, "--dest", tmp_path / "b", "--uploaded-prior-to", "2026-01-01", "aged", fails=True)
    untold = (tool("pip") / "python", "-m", "pip", "download", "--index-url", f"{server.url}pypi/bare/simple/")
    home.run(*untold, "--dest", tmp_path / "c", "--uploaded-prior-to", "2026-01-03", "aged", fails=True)


@pytest.mark.parametrize("repository", ["local", "upstream"])
def test_pip_resumes_a_cut_download(
    repository: str, home: Home, server: Running, upstream: Upstream, tmp_path: Path
) -> None:
    sample = Sample(f"resumed-{repository}", padding=3_000_000)
    provide(server, upstream, repository, sample)
    with relaying(server.port, cut=1_000_000, suffix=".whl") as relay:
        index = f"http://127.0.0.1:{relay.port}/pypi/{repository}/simple/"
        pip = (tool("pip") / "python", "-m", "pip", "download", "--no-cache-dir", "--index-url", index)
        home.run(*pip, "--dest", tmp_path / "got", sample.name)
    assert (tmp_path / "got" / sample.filename).read_bytes() == sample.wheel
    asked = [head.lower() for head in relay.heads if f"{sample.filename} " in head]
    assert len(asked) == 2
    assert "range: bytes=" in asked[1]
    assert "if-range: " in asked[1]
    assert relay.statuses[-1] == 206
