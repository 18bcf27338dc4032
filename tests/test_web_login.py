"""The page on which people end a login: real servers, real forms, and forms that are none."""

from __future__ import annotations

import asyncio
import hashlib
import html
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

import pytest

from reliquary.access.logins import Logins
from reliquary.catalog.engine import Catalog
from tests.running import Answer, Running, basic, running

CONFIG = """
workers = 2
upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }

[[users]]
name = "ann"
password = "correct horse"

[[users]]
name = "bob"
password = "battery staple"
"""
T = TypeVar("T")
NAME, PASSWORD = "ann", "correct horse"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("login") / "var", config=CONFIG) as found:
        yield found


@dataclass(frozen=True)
class Pending:
    """A login that was begun in the server's database, by nobody of its processes."""

    server: Running
    page: str
    secret: str

    @property
    def path(self) -> str:
        return f"/login/{self.page}"

    def user(self) -> str | None:
        """Who ended it."""
        found = asyncio.run(with_logins(self.server, lambda logins: logins.take(self.secret)))
        return found[0] if found else None

    def form(self) -> dict[str, str]:
        """The fields of its form, filled in."""
        text = self.server.ask(self.path).text
        found = re.search(r'name="form" value="([^"]+)"', text)
        assert found, text
        return {"form": found[1], "name": NAME, "password": PASSWORD}

    def post(self, fields: dict[str, str], **headers: str) -> Answer:
        sent = {"Content-Type": "application/x-www-form-urlencoded"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = urlencode(fields).encode()
        return self.server.ask(self.path, method="POST", body=body, headers=sent)


async def with_logins(server: Running, use: Callable[[Logins], Awaitable[T]]) -> T:
    """What ``use`` returns, given the server's logins."""
    catalog = await Catalog.open(f"sqlite:///{server.data / 'reliquary.db'}")
    try:
        return await use(Logins(catalog.logins))
    finally:
        await catalog.close()


@pytest.fixture
def pending(server: Running) -> Pending:
    return begin(server)


def begin(server: Running, title: str = "npm on desk") -> Pending:
    return Pending(server, *asyncio.run(with_logins(server, lambda logins: logins.begin(title))))


def same_origin(server: Running) -> str:
    return server.url.rstrip("/")


def test_a_person_ends_a_login(pending: Pending) -> None:
    shown = pending.server.ask(pending.path)
    assert shown.status == 200
    assert "npm on desk" in shown.text
    assert f"{pending.page[:4]}-{pending.page[4:8]}" in shown.text
    assert pending.secret not in shown.text
    assert pending.user() is None
    done = pending.post(pending.form(), Origin=same_origin(pending.server), Sec_Fetch_Site="same-origin")
    assert done.status == 200
    assert "You are logged in" in done.text
    assert pending.user() == "ann"
    for answer in (pending.server.ask(pending.path), pending.server.ask(pending.path, method="HEAD")):
        assert answer.status == 404


def test_the_page_takes_no_scripts_frames_or_other_forms(pending: Pending) -> None:
    answers = [pending.server.ask(pending.path), pending.server.ask("/login/nothing"), pending.post({})]
    assert [each.status for each in answers] == [200, 404, 403]
    for answer in answers:
        policy = answer.header("content-security-policy") or ""
        rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
        assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
        assert rules["form-action"] == "'self'"
        assert "script-src" not in rules
        style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
        assert style is not None
        digest = b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        assert rules["style-src"] == f"'sha256-{digest}'"
        assert answer.header("cache-control") == "no-store"
        assert answer.header("x-frame-options") == "DENY"
        # With no-referrer a browser would say "Origin: null" of this very form.
        assert answer.header("referrer-policy") == "same-origin"
        assert answer.header("set-cookie") is None
        assert answer.header("www-authenticate") is None


def test_a_wrong_password_is_told_and_may_be_tried_again(pending: Pending) -> None:
    fields = pending.form()
    tries = [
        ("ann", "gu3ss"),
        ("nobody", PASSWORD),
        ("admin", "gu3ss"),
        ("admin", pending.server.token),
        ("", ""),
        ("ann", ""),
    ]
    for name, password in tries:
        answer = pending.post({**fields, "name": name, "password": password})
        assert answer.status == 403, name
        assert "user name or the password is wrong" in answer.text
        assert not password or password not in answer.text
    assert pending.user() is None
    assert pending.post(fields).status == 200
    assert pending.user() == "ann"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "SELF"},
    ],
)
def test_a_form_of_another_site_is_refused(pending: Pending, headers: dict[str, str]) -> None:
    sent = {name: same_origin(pending.server) if value == "SELF" else value for name, value in headers.items()}
    answer = pending.post(pending.form(), **sent)
    assert answer.status == 403
    assert "not sent by the page" in answer.text
    assert pending.user() is None


def test_a_form_without_its_own_token_is_refused(pending: Pending) -> None:
    fields = pending.form()
    for token in ("", begin(pending.server).form()["form"], "\u00e9"):
        answer = pending.post({**fields, "form": token})
        assert answer.status == 403
        assert "not sent by the page" in answer.text
    assert pending.post({"name": NAME, "password": PASSWORD}).status == 403
    assert pending.user() is None


def test_credentials_that_a_browser_sends_by_itself_count_for_nothing(pending: Pending) -> None:
    fields = {**pending.form(), "name": "", "password": ""}
    assert pending.post(fields, Authorization=basic(NAME, PASSWORD)).status == 403
    assert pending.post(pending.form(), Authorization=basic("ann", "stale")).status == 200
    assert pending.user() == "ann"


def test_odd_bodies(pending: Pending) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    ask = pending.server.ask
    assert ask(pending.path, method="POST", body=b"{}", headers={"Content-Type": "application/json"}).status == 415
    assert ask(pending.path, method="POST", body=b"a" * 2_000_000, headers=kind).status == 413
    for body in (b"\xff", b"a=%ff", b"&".join([b"a=1"] * 1000)):
        assert ask(pending.path, method="POST", body=body, headers=kind).status == 400, body[:20]
    assert ask(pending.path, method="PUT", body=b"", headers=kind).status == 405
    assert pending.user() is None


def test_what_a_client_calls_itself_is_only_text(server: Running) -> None:
    title = "<script>alert(1)</script>\"'{{ 7*7 }}"
    text = server.ask(begin(server, title).path).text
    assert "<script" not in text
    assert html.escape(title[:8]) in text
    assert "49" not in text.partition("</strong>")[0].rpartition("<strong>")[2]
    fields = {"name": '"><b>x', "password": "y"}
    pending = begin(server)
    answer = pending.post({**pending.form(), **fields})
    assert "<b>x" not in answer.text


def test_a_page_that_is_none_asks_for_no_password(server: Running) -> None:
    for path in ("/login/nothing", "/login/%00", "/login/" + "x" * 5000, "/login/%C3%A9"):
        answer = server.ask(path)
        assert answer.status == 404, path
        assert "<form" not in answer.text
    assert server.ask("/login").status == server.ask("/login/").status == 404


def test_any_worker_answers_for_any_login(server: Running) -> None:
    logins = [begin(server) for _ in range(8)]
    assert [each.post(each.form()).status for each in logins] == [200] * 8
    assert [each.user() for each in logins] == ["ann"] * 8


def test_line_36_no_secret_of_a_login_is_logged(server: Running) -> None:
    pending = begin(server)
    pending.post({**pending.form(), "password": "no such password"})
    pending.post(pending.form())
    server.ask(f"/npm/main/-/v1/done/{pending.secret}")
    server.ask(f"/npm/main/-/user/token/{server.token}", method="DELETE", token=server.token + "x")
    text = server.log.read_text()
    for secret in (pending.page, pending.secret, "no such password", PASSWORD, server.token):
        assert secret not in text
