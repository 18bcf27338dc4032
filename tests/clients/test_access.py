"""A repository closed to anonymous readers, and the ways clients log in."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.clients.conftest import PASSWORD, USER
from tests.clients.relay import relaying
from tests.clients.samples import Sample
from tests.clients.tools import Home, tool
from tests.running import Running, basic

pytestmark = pytest.mark.client

SAMPLE = Sample("secret")


@pytest.fixture(scope="module", autouse=True)
def published(server: Running) -> None:
    """A package that only those who log in see."""
    answer = server.put(f"/pypi/closed/{SAMPLE.filename}", SAMPLE.wheel)
    assert answer.status in (200, 201)


def index(server: Running, login: str = "") -> str:
    return f"http://{login}127.0.0.1:{server.port}/pypi/closed/simple/"


def command(client: str) -> list[str | Path]:
    """An installer up to its index."""
    if client == "pip":
        return [tool("pip") / "python", "-m", "pip", "install", "--index-url"]
    return [tool("uv") / "uv", "pip", "install", "--python", sys.executable, "--default-index"]


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_without_a_login(client: str, home: Home, server: Running, tmp_path: Path) -> None:
    ran = home.run(*command(client), index(server), "--target", tmp_path / "site", SAMPLE.name, fails=True)
    assert SAMPLE.name in ran.output
    assert not (tmp_path / "site" / "secret.py").exists()
    for name in (SAMPLE.name, "nobody-made-this"):
        answer = server.ask(f"/pypi/closed/simple/{name}/")
        assert answer.status == 401
        assert (answer.header("www-authenticate") or "").startswith("Basic realm=")


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_a_login_in_the_address(client: str, home: Home, server: Running, tmp_path: Path) -> None:
    for number, (user, password) in enumerate([(USER, PASSWORD), ("__token__", server.token)]):
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
        assert ("%40" in login) is (user == USER)
        target = tmp_path / str(number)
        home.run(*command(client), index(server, login), "--target", target, SAMPLE.name)
        assert (target / "secret.py").is_file()


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_a_login_in_netrc(client: str, home: Home, server: Running, tmp_path: Path) -> None:
    netrc = home.path / ".netrc"
    home.path.mkdir(parents=True)
    netrc.write_text(f"machine 127.0.0.1\nlogin {USER}\npassword {PASSWORD}\n")
    netrc.chmod(0o600)
    home.run(*command(client), index(server), "--target", tmp_path / "site", SAMPLE.name)
    assert (tmp_path / "site" / "secret.py").is_file()


def test_pip_logs_in_after_the_challenge_alone(home: Home, server: Running, tmp_path: Path) -> None:
    login = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
    with relaying(server.port, cut=1 << 40, suffix=".whl") as relay:
        address = f"http://{login}127.0.0.1:{relay.port}/pypi/closed/simple/"
        home.run(*command("pip"), address, "--target", tmp_path / "site", SAMPLE.name)
    assert all("authorization: basic" in head.lower() for head in relay.heads if "/files/" in head)
    assert 200 in relay.statuses


def test_twine_with_a_user(home: Home, server: Running, tmp_path: Path) -> None:
    files = Sample("secret-two").save(tmp_path / "dist")
    twine = (tool("twine") / "twine", "upload", "--non-interactive", "--config-file", "/dev/null")
    url = ("--repository-url", f"{server.url}pypi/closed/")
    home.run(*twine, *url, "--username", USER, "--password", PASSWORD, *files)
    assert server.ask("/pypi/closed/simple/secret-two/").status == 401
    answer = server.ask("/pypi/closed/simple/secret-two/", headers={"Authorization": basic(USER, PASSWORD)})
    assert "secret_two-1.0-py3-none-any.whl" in answer.text
    refused = home.run(*twine, *url, "--username", USER, "--password", "wrong", *files, fails=True)
    assert "401" in refused.output
