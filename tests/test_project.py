"""The project itself: what is written about it is true, and its borders hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from typer.main import get_command

from reliquary.cli import app

ROOT = Path(__file__).parent.parent
HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FORGES = ("github.", "gitlab.")
"""Hosts of forges may stand in documents: they are named by clients' registries and are none."""


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def tool(name: str) -> str:
    """A tool of the environment that the tests run in."""
    return str(Path(sys.executable).parent / name)


def tracked() -> list[Path]:
    """Every tracked file that is still there; outside of a git checkout, the folders of a source distribution."""
    listed = run("git", "ls-files", "-z")
    if listed.returncode != 0:
        folders = [ROOT / name for name in ("src", "tests", "docs", "migrations")]
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()] + [ROOT / "README.md"]
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def documents() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md"]


def said(*command: str) -> str:
    """What a client says of its configuration, "" where it is absent or fails."""
    try:
        return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def configured() -> Iterator[str]:
    """Texts in which this machine's clients name the public registries that they use."""
    code = "from pip._internal.models.index import PyPI as p; print(p.netloc, p.file_storage_domain)"
    yield said(sys.executable, "-c", code)
    yield said("npm", "config", "get", "registry")
    yield said("go", "env", "GOPROXY", "GOSUMDB")
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"), "registry", "index")
    if cargo.is_dir():
        yield "\n".join(re.sub(r"-[0-9a-f]*$", "", folder.name) for folder in cargo.iterdir())
    sources = Path("/etc/apt/sources.list.d")
    for path in (Path("/etc/apt/sources.list"), *(sources.iterdir() if sources.is_dir() else ())):
        if path.is_file():
            yield path.read_text(errors="replace")


def registries() -> set[str]:
    hosts = {host for text in configured() for host in HOST.findall(text)}
    files = (".list", ".sources", ".gpg", ".asc")
    return {host for host in hosts if not host.startswith(FORGES) and not host.endswith(files) and host[-1].isalpha()}


def naming(hosts: set[str], text: str) -> set[str]:
    """The hosts that stand in a text, not as the end of a longer name."""
    return {host for host in hosts if re.search(rf"(?<![a-z0-9.-]){re.escape(host)}", text)}


def test_no_public_registry_is_named_in_any_file() -> None:
    hosts = registries()
    assert hosts, "pip at least knows one"
    found = {str(path.relative_to(ROOT)): naming(hosts, path.read_text(errors="replace")) for path in tracked()}
    assert not {path: len(names) for path, names in found.items() if names}


def test_a_registry_in_a_text_is_found() -> None:
    host = next(iter(registries()))
    assert naming({host}, f"see https://{host}/simple/")
    assert not naming({host}, f"see https://not-{host}/")


def test_no_public_registry_is_named_in_a_commit_message() -> None:
    log = run("git", "log", "--format=%B")
    if log.returncode != 0:
        pytest.skip("this is not a git checkout")
    assert not naming(registries(), log.stdout)


def anchors(document: Path) -> set[str]:
    """What headings of a document can be linked to as."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    dead = []
    for link in LINK.findall(document.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    docs = ROOT / "docs"
    linked = {(docs / link).resolve() for link in LINK.findall((docs / "README.md").read_text())}
    pages = {path for path in documents() if path.parent in (docs, docs / "decisions") and path.name != "README.md"}
    assert not {path.name for path in pages - linked}


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def blocks(document: Path) -> str:
    return "\n".join(re.findall(r"^```(?:sh|console)\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL))


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_that_documents_name_exist(document: Path) -> None:
    text = document.read_text()
    named = set(re.findall(r"`make ([a-z]+)", text)) | set(
        re.findall(r"^make ([a-z]+)", blocks(document), re.MULTILINE)
    )
    assert named <= targets()


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_documents_name_exist(document: Path) -> None:
    spoken = document.read_text()
    lines = [*re.findall(r"`(?:\S*/)?reliquary ([a-z][^`]*)`", spoken)]
    lines += re.findall(r"^(?:\S*/)?reliquary ([a-z].*)$", blocks(document), re.MULTILINE)
    assert not [line for line in lines if not known(line.split())]


def known(words: Sequence[str]) -> bool:
    """Whether the words begin with a command, its sub-command if it has any, and flags that it takes."""
    command = get_command(app)
    rest = list(words)
    while (inner := getattr(command, "commands", None)) is not None:
        if not rest or rest[0] not in inner:
            return not rest
        command = inner[rest.pop(0)]
    options = {flag for parameter in command.params for flag in parameter.opts} | {"--help"}
    return all(word.split("=")[0] in options for word in rest if re.fullmatch(r"--[a-z][a-z-]*(=.*)?", word))


def test_a_command_that_does_not_exist_is_found() -> None:
    assert known(["serve", "--port", "9000"])
    assert not known(["serve", "--porth", "9000"])
    assert not known(["bake"])


def test_the_first_two_commands_of_the_readme() -> None:
    lines = [line for line in blocks(ROOT / "README.md").splitlines() if line]
    assert lines[:2] == ["make serve", "make test"]


def test_the_borders_between_the_parts_hold() -> None:
    kept = run(tool("lint-imports"))
    assert kept.returncode == 0, kept.stdout


def test_words_are_spelled_right() -> None:
    found = run(tool("codespell"))
    assert found.returncode == 0, found.stdout


def test_the_locked_versions_hold_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=!~ ]", line)[0].lower().replace("_", "-").replace(".", "-") for line in wanted}
    lock = (ROOT / "requirements.txt").read_text()
    locked = {name.replace(".", "-") for name in re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE)}
    assert names <= locked
    assert "://" not in lock


def test_the_whole_run_is_a_script_that_bash_can_read() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert run("bash", "-n", str(script)).returncode == 0


@pytest.mark.matrix
def test_the_benchmark_measures() -> None:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    done = run(sys.executable, "-m", "benchmarks", "--small", "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert {"Warm reads, 16 connections", "Publishing"} <= {each["part"] for each in results}
    assert all(each["ours"] > 0 for each in results)
