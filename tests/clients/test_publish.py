"""Every uploader publishes, and pip installs what it published at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.clients.samples import AUTHOR, SUMMARY, Sample
from tests.clients.tools import Home, Ran, tool
from tests.running import Running

pytestmark = pytest.mark.client

JSON = "application/vnd.pypi.simple.v1+json"
Publish = Callable[..., Ran]


def project(sample: Sample, folder: Path) -> None:
    """A project as poetry, pdm, hatch and flit want one around their artefacts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{sample.module}.py").write_text(f'"""{SUMMARY}"""\n\n__version__ = "{sample.version}"\n{sample.text}')
    (folder / "pyproject.toml").write_text(
        f"""
[build-system]
requires = ["flit_core >=3.2,<4"]
build-backend = "flit_core.buildapi"

[project]
name = "{sample.name}"
version = "{sample.version}"
description = "{SUMMARY}"
authors = [{{ name = "{AUTHOR}", email = "zoe@team.example" }}]
requires-python = ">=3.8"

[tool.flit.module]
name = "{sample.module}"
""",
        encoding="utf-8",
    )


def twine(home: Home, url: str, token: str, folder: Path, files: Sequence[Path], fails: bool) -> Ran:
    login = ("--username", "__token__", "--password", token)
    command = (tool("twine") / "twine", "upload", "--non-interactive", "--config-file", "/dev/null")
    return home.run(*command, "--repository-url", url, *login, *files, cwd=folder, fails=fails)


def uv(home: Home, url: str, token: str, folder: Path, files: Sequence[Path], fails: bool) -> Ran:
    command = (tool("uv") / "uv", "publish", "--trusted-publishing", "never", "--publish-url", url)
    return home.run(*command, "--token", token, *files, cwd=folder, fails=fails)


def uv_checking(home: Home, url: str, token: str, folder: Path, files: Sequence[Path], fails: bool) -> Ran:
    command = (tool("uv") / "uv", "publish", "--trusted-publishing", "never", "--publish-url", url)
    check = ("--check-url", f"{url}simple/")
    return home.run(*command, *check, "--token", token, *files, cwd=folder, fails=fails)


def poetry(home: Home, url: str, token: str, folder: Path, files: Sequence[Path], fails: bool) -> Ran:
    env = {
        "POETRY_REPOSITORIES_RELIQUARY_URL": url,
        "POETRY_HTTP_BASIC_RELIQUARY_USERNAME": "__token__",
        "POETRY_HTTP_BASIC_RELIQUARY_PASSWORD": token,
    }
    command = (tool("poetry") / "poetry", "publish", "--repository", "reliquary")
    return home.run(*command, cwd=folder, env=env, fails=fails)


def pdm(home: Home, url: str, token: str, folder: Path, files: Sequence[Path], fails: bool) -> Ran:
    login = ("--username", "__token__", "--password", token)
    command = (tool("pdm") / "pdm", "publish", "--no-build", "--repository", url)
    return home.run(*command, *login, cwd=folder, fails=fails)


def hatch(home: Home, url: str, token: str, folder: Path, files: Sequence[Path], fails: bool) -> Ran:
    command = (tool("hatch") / "hatch", "publish", "--no-prompt", "--repo", url)
    return home.run(*command, "--user", "__token__", "--auth", token, *files, cwd=folder, fails=fails)


def flit(home: Home, url: str, token: str, folder: Path, files: Sequence[Path], fails: bool) -> Ran:
    env = {"FLIT_INDEX_URL": url, "FLIT_USERNAME": "__token__", "FLIT_PASSWORD": token}
    env["SOURCE_DATE_EPOCH"] = "1700000000"
    return home.run(tool("flit") / "flit", "publish", "--no-use-vcs", cwd=folder, env=env, fails=fails)


UPLOADERS: dict[str, Publish] = {each.__name__: each for each in (twine, uv, uv_checking, poetry, pdm, hatch, flit)}
REFUSED = {
    "twine": "File already exists",
    "uv": "File already exists",
    "uv_checking": "do not match",
    "poetry": "File already exists",
    "pdm": "409 Conflict",
    "hatch": "already exists",
    "flit": "File already exists",
}
"""What they say when other bytes are there. hatch sees the name on the page, sends nothing and ends well."""


@pytest.fixture(params=UPLOADERS)
def publish(request: pytest.FixtureRequest, home: Home, server: Running, tmp_path: Path) -> Publish:
    """Publishes a sample's files to the ready-made group."""
    uploader = UPLOADERS[request.param]

    def run(sample: Sample, *, token: str = server.token, repository: str = "main", fails: bool = False) -> Ran:
        folder = tmp_path / "project"
        project(sample, folder)
        files = [] if uploader is flit else sample.save(folder / "dist", sdist=True)
        url = f"{server.url}pypi/{repository}/"
        return uploader(home, url, token, folder, files, fails)

    run.__name__ = request.param
    return run


def page(server: Running, name: str) -> dict[str, object]:
    """The JSON page of a project."""
    answer = server.ask(f"/pypi/main/simple/{name}/", headers={"Accept": JSON})
    assert answer.status == 200
    found: dict[str, object] = json.loads(answer.body)
    return found


def test_published_and_installed(publish: Publish, home: Home, server: Running, tmp_path: Path) -> None:
    sample = Sample(f"published-{publish.__name__}".replace("_", "-"))
    publish(sample)
    files = page(server, sample.name)["files"]
    assert isinstance(files, list)
    assert [file["filename"].rsplit(".", 1)[-1] for file in files] in (["whl", "gz"], ["gz", "whl"])
    pip = (tool("pip") / "python", "-m", "pip", "install", "--index-url", f"{server.url}pypi/main/simple/")
    home.run(*pip, "--target", tmp_path / "site", sample.name)
    written = (tmp_path / "site" / f"{sample.module}-1.0.dist-info" / "METADATA").read_text(encoding="utf-8")
    assert AUTHOR in written
    assert SUMMARY in written


def test_the_same_again_is_no_error_and_other_bytes_are_refused(publish: Publish, server: Running) -> None:
    sample = Sample(f"again-{publish.__name__}".replace("_", "-"))
    publish(sample)
    before = page(server, sample.name)
    publish(sample)
    other = Sample(sample.name, text="OTHER = True\n")
    printed = publish(other, fails=publish.__name__ != "hatch").output
    assert REFUSED[publish.__name__] in printed
    assert page(server, sample.name) == before


def test_a_wrong_token_is_told(publish: Publish, server: Running) -> None:
    sample = Sample(f"wrong-{publish.__name__}".replace("_", "-"))
    printed = publish(sample, token="rel_wrong", fails=True).output
    assert "401" in printed or "403" in printed or "credentials" in printed.lower(), printed
    assert server.ask(f"/pypi/main/simple/{sample.name}/").status == 404


def test_a_proxy_takes_no_uploads(publish: Publish, server: Running) -> None:
    sample = Sample(f"proxied-{publish.__name__}".replace("_", "-"))
    printed = publish(sample, repository="upstream", fails=True).output
    assert "405" in printed, printed
