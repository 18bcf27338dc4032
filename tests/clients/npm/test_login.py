"""npm logs in to a repository that is closed to strangers, lists its tokens, and logs out again."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.clients.npm.tools import Home, start
from tests.clients.tools import Ran
from tests.running import Running, basic, running

CONFIG = """
upstreams = { npm = "none", cargo = "none", go = "none", pypi = "none" }

[[repositories]]
format = "npm"
name = "closed"
kind = "hosted"
anonymous_read = false

[[repositories]]
format = "npm"
name = "doors"
kind = "group"
members = ["closed"]
anonymous_read = false

[[users]]
name = "ann"
password = "p@ss:w/rd"

[[grants]]
user = "ann"
repositories = "npm/*"
actions = ["read", "publish"]
"""
NAME, PASSWORD = "ann", "p@ss:w/rd"
VERSIONS = ("npm", pytest.param("npm11", marks=pytest.mark.matrix))
PATIENCE = 40.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("npm-login") / "var", config=CONFIG) as found:
        yield found


@dataclass(frozen=True)
class Npm:
    """npm in a home of its own, pointed at one repository."""

    home: Home
    version: str
    server: Running
    repository: str = "doors"

    @property
    def registry(self) -> str:
        return f"{self.server.url}npm/{self.repository}/"

    @property
    def command(self) -> list[str]:
        return [*map(str, start(self.version)), f"--registry={self.registry}"]

    def run(self, *words: str, fails: bool = False) -> Ran:
        return self.home.run(*self.command, *words, fails=fails)

    def value(self, *words: str) -> Any:
        """What it prints as JSON."""
        output = self.run(*words, "--json").output
        return json.loads(output[min(at for at in (output.find("["), output.find("{")) if at >= 0) :])

    def tokens(self) -> dict[str, dict[str, Any]]:
        """The tokens it lists, by key."""
        return {each["key"]: each for each in self.value("token", "list")}

    @property
    def token(self) -> str | None:
        """What its settings hold for the repository."""
        settings = self.home.path / ".npmrc"
        line = re.escape(urlsplit(self.registry).path) + r':_authToken="?([^"\s]+)'
        found = re.search(line, settings.read_text()) if settings.is_file() else None
        return found[1] if found else None

    def log_in(self) -> None:
        """Log in as a person would: begin in the terminal, end on the page it names."""
        with Talk(self.home, [*self.command, "login", "--auth-type=web"]) as talk:
            shown = end_in_browser(self.server, talk)
        assert f"npm/{self.run('--version').output.strip()}" in shown


class Talk:
    """A command that is still running at a terminal, and what it said so far."""

    def __init__(self, home: Home, command: Sequence[str]) -> None:
        home.path.mkdir(parents=True, exist_ok=True)
        self._master, terminal = pty.openpty()
        self._said = b""
        self._process = subprocess.Popen(
            command, cwd=home.path, env=home.environment(), stdin=terminal, stdout=terminal, stderr=terminal
        )
        os.close(terminal)

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """What it said, without colours and movements."""
        while select.select([self._master], [], [], 0.05)[0]:
            try:
                said = os.read(self._master, 65_536)
            except OSError:  # EIO: the other end is closed
                break
            if not said:
                break
            self._said += said
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._said.decode(errors="replace"))

    def wait(self, pattern: str) -> str:
        """The last group of a pattern, once it is said."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.text):
                return found[found.re.groups]
            assert self._process.poll() is None, self.text
        pytest.fail(f"{pattern} was not said\n{self.text}")

    def say(self, line: str) -> None:
        """Type a line, a moment after it was asked for: some clients listen only then."""
        time.sleep(0.3)
        os.write(self._master, line.encode() + b"\r")

    def end(self, code: int = 0) -> None:
        """Listen until it ends, with this exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            assert isinstance(self.text, str)
        assert self._process.poll() == code, self.text


def end_in_browser(server: Running, talk: Talk) -> str:
    """What a person does on the page that a client names; returns what the page said."""
    page = talk.wait(r"http://127\.0\.0\.1:\d+(/login/[0-9a-f]{40})")
    shown = server.ask(page)
    assert shown.status == 200
    form = re.search(r'name="form" value="([^"]+)"', shown.text)
    assert form is not None
    fields = urlencode({"form": form[1], "name": NAME, "password": PASSWORD}).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert server.ask(page, method="POST", body=fields, headers=kind).status == 200
    talk.end()
    return shown.text


@pytest.fixture(params=VERSIONS)
def npm(request: pytest.FixtureRequest, server: Running, tmp_path: Path) -> Npm:
    """An npm that nobody logged in yet."""
    return Npm(Home(tmp_path / "home"), request.param, server)


def test_a_login_in_the_browser(npm: Npm) -> None:
    assert "ENEEDAUTH" in npm.run("whoami", fails=True).output
    npm.log_in()
    first = npm.token
    assert first is not None
    assert first.startswith("rlq_")
    assert npm.run("whoami").output.strip() == NAME
    npm.run("logout")
    assert npm.token is None
    assert npm.server.ask("/npm/doors/-/whoami", headers={"Authorization": f"Bearer {first}"}).status == 401


def test_a_token_that_ended_is_replaced_by_a_login(npm: Npm) -> None:
    npm.home.path.mkdir(parents=True)
    key = f"//127.0.0.1:{npm.server.port}/npm/doors/:_authToken"
    (npm.home.path / ".npmrc").write_text(f"{key}=rlq_{'x' * 43}\n")
    assert "E401" in npm.run("whoami", fails=True).output
    npm.log_in()
    assert npm.run("whoami").output.strip() == NAME


def test_a_login_by_password(npm: Npm) -> None:
    for password, code in (("wr0ng", 1), (PASSWORD, 0)):
        with Talk(npm.home, [*npm.command, "login", "--auth-type=legacy"]) as talk:
            talk.wait("Username:")
            talk.say(NAME)
            talk.wait("Password:")
            talk.say(password)
            talk.end(code)
            assert "one-time" not in talk.text
            assert code == 0 or "E401" in talk.text
        assert (npm.token is None) is bool(code)
    assert npm.run("whoami").output.strip() == NAME
    profile = npm.value("profile", "get")
    assert (profile["name"], profile["tfa"]) == (NAME, False)
    assert f"name: {NAME}" in npm.run("profile", "get").output


def test_tokens_are_made_listed_and_revoked(npm: Npm) -> None:
    npm.log_in()
    before = npm.tokens()
    assert npm.token is not None
    assert any(npm.token.startswith(each["token"]) for each in before.values())
    narrow = ["--packages-and-scopes-permission=read-only", "--expires=30"]
    made = npm.value("token", "create", "--name=ci", f"--password={PASSWORD}", *narrow)
    other = npm.value("token", "create", f"--password={PASSWORD}")["token"]
    after = npm.tokens()
    (key,) = [key for key, each in after.items() if each["name"] == "ci"]
    assert after[key]["readonly"] is True
    assert made["token"].startswith(after[key]["token"])
    assert len(after) == len(before) + 2
    assert "Removed 1 token" in npm.run("token", "revoke", key[:8]).output
    assert "Removed 1 token" in npm.run("token", "revoke", other).output
    assert npm.tokens().keys() == before.keys()
    for secret in (made["token"], other):
        assert npm.server.ask("/npm/doors/-/whoami", headers={"Authorization": f"Bearer {secret}"}).status == 401
    wrong = npm.run("token", "create", "--password=wr0ng", fails=True).output
    assert "E401" in wrong
    assert (
        "limited by cidr_whitelist"
        in npm.run("token", "create", f"--password={PASSWORD}", "--cidr=10.0.0.0/8", fails=True).output
    )


@pytest.mark.matrix
def test_pnpm_logs_in_in_the_browser_and_out(server: Running, tmp_path: Path) -> None:
    home, where = Home(tmp_path / "home"), f"--registry={server.url}npm/doors/"
    pnpm = [str(word) for word in start("pnpm")]
    with Talk(home, [*pnpm, "login", where]) as talk:
        end_in_browser(server, talk)
    assert home.run(*pnpm, "whoami", where).output.strip() == NAME
    home.run(*pnpm, "logout", where)
    home.run(*pnpm, "whoami", where, fails=True)


@pytest.mark.matrix
def test_yarn_logs_in_by_password(server: Running, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    (home.path / "package.json").write_text('{"name": "x"}')
    (home.path / "yarn.lock").touch()
    settings = f'npmRegistryServer: "{server.url}npm/doors/"\nunsafeHttpWhitelist: ["127.0.0.1"]\n'
    (home.path / ".yarnrc.yml").write_text(settings)
    yarn = [str(word) for word in start("yarn")]
    with Talk(home, [*yarn, "npm", "login"]) as talk:
        talk.wait("Username:")
        talk.say(NAME)
        talk.wait("Password:")
        talk.say(PASSWORD)
        talk.end()
    assert f": {NAME}\n" in home.run(*yarn, "npm", "whoami").output


def test_whoami_by_name_and_password(server: Running) -> None:
    answer = server.ask("/npm/doors/-/whoami", headers={"Authorization": basic(NAME, PASSWORD)})
    assert json.loads(answer.body) == {"username": NAME}


def test_line_36_no_secret_of_a_login_is_logged(server: Running) -> None:
    token = server.token
    for path in (f"-/user/token/{token}", f"-/npm/v1/tokens/token/{token}x", f"-/v1/done/{token}"):
        for method in ("DELETE", "GET", "POST"):
            server.ask(f"/npm/doors/{path}", method=method)
            server.ask(f"/npm/doors/{path}", method=method, headers={"Authorization": basic(NAME, PASSWORD)})
    text = server.log.read_text()
    assert token not in text
    assert PASSWORD not in text
