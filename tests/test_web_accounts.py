"""Logins and tokens through the endpoint, over a real catalog: who gets what, and from where."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reliquary.access.logins import Logins
from reliquary.app import App
from reliquary.cli import init
from reliquary.formats.base import Call, Match
from reliquary.formats.generic.format import Generic
from reliquary.formats.npm import accounts
from reliquary.settings import Settings, load
from reliquary.types import Action, Actor
from reliquary.web.request import Request
from reliquary.web.serve import Serve
from tests.running import basic

pytestmark = pytest.mark.anyio

USERS = {"ann": "correct horse", "bob": "battery staple", "eve": "long enough"}
CONFIG = """
upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }

[[repositories]]
format = "generic"
name = "closed"
kind = "hosted"
anonymous_read = false

[[users]]
name = "ann"
password = "correct horse"

[[users]]
name = "bob"
password = "battery staple"

[[users]]
name = "eve"
password = "long enough"

[[grants]]
user = "ann"
repositories = "generic/*"
actions = ["read", "publish"]

[[grants]]
user = "bob"
repositories = "generic/*"
actions = ["read"]
"""

VERBS = {
    ("PUT", "user/org.couchdb.user:"): accounts.login,
    ("GET", "user/org.couchdb.user:"): accounts.user,
    ("GET", "whoami"): accounts.whoami,
    ("DELETE", "user/token/"): accounts.logout,
    ("GET", "npm/v1/tokens"): accounts.tokens,
    ("POST", "npm/v1/tokens"): accounts.create_token,
    ("DELETE", "npm/v1/tokens/token/"): accounts.revoke_token,
    ("POST", "v1/login"): accounts.begin,
    ("GET", "v1/done/"): accounts.done,
}


class WithAccounts(Generic):
    """Plain files, and the accounts of npm's clients below ``-/``."""

    def match(self, method: str, segments: tuple[str, ...], query: Mapping[str, str]) -> Match | None:
        path = "/".join(segments)
        for (verb, start), run in VERBS.items():
            if segments[:1] == ("-",) and verb == method and path[2:].startswith(start):
                return Call(Action.READ, run, open=True)
        return super().match(method, segments, query)


@dataclass(frozen=True)
class Told:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """Speaks ASGI to the endpoint of a started application."""

    app: App

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        auth: str | None = None,
        repository: str = "closed",
        headers: Mapping[str, str] | None = None,
    ) -> Told:
        data = b"" if body is None else json.dumps(body).encode()
        pairs = {"host": "packages.example:8080", "content-length": str(len(data)), **(headers or {})}
        if auth is not None:
            pairs["authorization"] = auth
        raw, _, query = path.partition("?")
        scope: dict[str, Any] = {"type": "http", "method": method, "scheme": "http", "root_path": ""}
        scope |= {"query_string": query.encode(), "client": ("127.0.0.1", 1)}
        scope["headers"] = [(name.encode(), value.encode()) for name, value in pairs.items()]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        serve = Serve(self.app.live.world.state)
        request = Request(scope, receive, send, lambda: datetime.now(UTC))
        await serve(request, WithAccounts(), f"{repository}/{raw}".encode())
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Told(sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))

    async def login(self, name: str) -> str:
        """A token, by password."""
        body = {"name": name, "password": USERS[name]}
        told = await self.ask("PUT", f"-/user/org.couchdb.user:{name}", body)
        assert told.status == 201, told.body
        return "Bearer " + str(told.value["token"])


def settings_of(folder: Path) -> Settings:
    (folder / "settings.toml").write_text(CONFIG)
    return load(folder / "settings.toml", {}, data=folder / "var")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as the first start leaves it; each test takes a copy."""
    folder = tmp_path_factory.mktemp("prepared")
    asyncio.run(init.prepare(settings_of(folder), {}))
    return folder / "var"


@pytest.fixture
async def client(prepared: Path, tmp_path: Path) -> AsyncIterator[Client]:
    shutil.copytree(prepared, tmp_path / "var")
    app = App(settings_of(tmp_path))
    await app.start()
    try:
        yield Client(app)
    finally:
        await app.stop()


async def test_a_closed_repository_lets_people_log_in(client: Client) -> None:
    assert (await client.ask("GET", "file.bin")).status == 401
    assert (await client.ask("GET", "-/whoami")).status == 401
    token = await client.login("ann")
    assert (await client.ask("GET", "-/whoami", auth=token)).value == {"username": "ann"}
    assert (await client.ask("PUT", "file.bin", 1, auth=token)).status == 201
    assert (await client.ask("GET", "file.bin", auth=token)).status == 200


async def test_a_token_may_what_its_user_may(client: Client) -> None:
    reader = await client.login("bob")
    assert (await client.ask("PUT", "file.bin", 1, auth=reader)).status == 403
    assert (await client.ask("GET", "file.bin", auth=reader)).status == 404
    nobody = await client.login("eve")
    assert (await client.ask("GET", "-/whoami", auth=nobody)).value == {"username": "eve"}
    assert (await client.ask("GET", "file.bin", auth=nobody)).status == 403


async def test_a_login_takes_the_place_of_a_token_that_ended(client: Client) -> None:
    old = await client.login("ann")
    assert (await client.ask("DELETE", f"-/user/token/{old[7:]}", auth=old)).value == {"ok": True}
    told = await client.ask("GET", "-/whoami", auth=old)
    assert told.status == 401
    assert b"no longer good" in told.body
    assert (await client.ask("GET", "file.bin", auth=old)).status == 401
    body = {"name": "ann", "password": USERS["ann"]}
    assert (await client.ask("PUT", "-/user/org.couchdb.user:ann", body, auth=old)).status == 201
    assert (await client.ask("POST", "-/v1/login", {}, auth=old)).status == 200


async def test_wrong_logins_are_all_alike_and_make_nobody(client: Client) -> None:
    admin = "admin"  # a user without a password
    answers = []
    for name, password in (("ann", "wrong"), ("nobody", "correct horse"), (admin, ""), (admin, "x"), ("ann", "rlq_")):
        body = {"name": name, "password": password or "y"}
        answers.append(await client.ask("PUT", f"-/user/org.couchdb.user:{name}", body))
    assert {each.status for each in answers} == {401}
    assert len({each.body for each in answers}) == 1
    assert b"administrator" in answers[0].body
    assert b"one-time pass" not in answers[0].body
    assert "www-authenticate" in answers[0].headers
    users = (await client.app.live.world.context.catalog.accounts.snapshot()).users
    assert {user.name for user in users} == {"admin", *USERS}


async def test_a_token_is_no_password(client: Client) -> None:
    token = (await client.login("ann"))[7:]
    body = {"name": "ann", "password": token}
    assert (await client.ask("PUT", "-/user/org.couchdb.user:ann", body)).status == 401


async def test_guessing_is_stopped_here_too(client: Client) -> None:
    for _ in range(10):
        await client.ask("PUT", "-/user/org.couchdb.user:bob", {"name": "bob", "password": "guess"})
    right = {"name": "bob", "password": USERS["bob"]}
    assert (await client.ask("PUT", "-/user/org.couchdb.user:bob", right)).status == 401
    await client.login("ann")


async def test_tokens_are_listed_made_and_revoked_by_their_user(client: Client) -> None:
    ann, bob = await client.login("ann"), await client.login("bob")
    body = {"name": "ci", "password": USERS["ann"], "readonly": True, "expires": 30}
    made = (await client.ask("POST", "-/npm/v1/tokens", body, auth=ann)).value
    page = (await client.ask("GET", "-/npm/v1/tokens", auth=ann)).value
    assert [each["name"] for each in page["objects"]] == ["ci", "login by npm"]
    assert [each["readonly"] for each in page["objects"]] == [True, False]
    shown = page["objects"][0]
    assert made["token"].startswith(shown["token"])
    assert made["token"] not in json.dumps(page)
    assert {**shown, "token": made["token"]} == made
    assert (await client.ask("GET", "-/npm/v1/tokens", auth=bob)).value["total"] == 1

    reader = f"Bearer {made['token']}"
    assert (await client.ask("PUT", "file.bin", 1, auth=reader)).status == 403
    assert (await client.ask("GET", "-/whoami", auth=reader)).value == {"username": "ann"}
    for key in (made["key"], made["token"]):
        assert (await client.ask("DELETE", f"-/npm/v1/tokens/token/{key}", auth=bob)).status == 404
        assert (await client.ask("DELETE", f"-/user/token/{key}", auth=bob)).status == 404
    assert (await client.ask("DELETE", f"-/npm/v1/tokens/token/{made['key']}", auth=ann)).status == 204
    assert (await client.ask("GET", "-/whoami", auth=reader)).status == 401
    assert (await client.ask("DELETE", f"-/npm/v1/tokens/token/{made['key']}", auth=ann)).status == 404


async def test_a_token_is_named_in_four_ways(client: Client) -> None:
    first = await client.login("ann")
    for part, signs in (("key", None), ("key", 6), ("token", None), ("token", 9)):
        body = {"name": "ci", "password": USERS["ann"]}
        made = (await client.ask("POST", "-/npm/v1/tokens", body, auth=first)).value
        assert (await client.ask("DELETE", f"-/npm/v1/tokens/token/{made[part][:signs]}", auth=first)).status == 204
        assert (await client.ask("GET", "-/whoami", auth=f"Bearer {made['token']}")).status == 401
    await client.login("ann")
    for text, status in (("rlq_", 404), ("rlq_%2A", 404), ("", 404), ("1", 404)):
        assert (await client.ask("DELETE", f"-/npm/v1/tokens/token/{text}", auth=first)).status == status, text
    assert (await client.ask("GET", "-/npm/v1/tokens", auth=first)).value["total"] == 2


async def test_a_narrow_token_widens_nothing(client: Client) -> None:
    ann = await client.login("ann")
    body = {"password": USERS["ann"], "readonly": True}
    narrow = "Bearer " + (await client.ask("POST", "-/npm/v1/tokens", body, auth=ann)).value["token"]
    assert (await client.ask("POST", "-/npm/v1/tokens", {"password": USERS["ann"]}, auth=narrow)).status == 403
    key = (await client.ask("GET", "-/npm/v1/tokens", auth=ann)).value["objects"][-1]["key"]
    assert (await client.ask("DELETE", f"-/npm/v1/tokens/token/{key}", auth=narrow)).status == 403
    # but it may end itself
    assert (await client.ask("DELETE", f"-/user/token/{narrow[7:]}", auth=narrow)).status == 200


async def test_making_a_token_takes_the_password(client: Client) -> None:
    ann = await client.login("ann")
    assert (await client.ask("POST", "-/npm/v1/tokens", {"password": USERS["bob"]}, auth=ann)).status == 401
    assert (await client.ask("GET", "-/npm/v1/tokens", auth=ann)).value["total"] == 1
    by_password = basic("ann", USERS["ann"])
    body = {"password": USERS["ann"]}
    assert (await client.ask("POST", "-/npm/v1/tokens", body, auth=by_password)).status == 201


async def test_users_are_told_to_users_alone(client: Client) -> None:
    path = "-/user/org.couchdb.user:bob"
    assert (await client.ask("GET", path)).status == 401
    assert (await client.ask("GET", path, auth="Bearer x")).status == 401
    ann = await client.login("ann")
    assert (await client.ask("GET", path, auth=ann)).value["name"] == "bob"
    assert (await client.ask("GET", path + "b", auth=ann)).status == 404


async def test_a_login_in_the_browser_gives_one_token_once(client: Client) -> None:
    begun = (await client.ask("POST", "-/v1/login", {})).value
    base = "http://packages.example:8080/"
    assert begun["loginUrl"].startswith(base + "login/")
    assert begun["doneUrl"].startswith(base + "generic/closed/-/v1/done/")
    page = begun["loginUrl"].rpartition("/")[2]
    done = begun["doneUrl"].removeprefix(base + "generic/closed/")
    secret = done.rpartition("/")[2]
    assert page not in begun["doneUrl"]
    assert (await client.ask("GET", f"-/v1/done/{page}")).status == 404

    waiting = await client.ask("GET", done)
    assert (waiting.status, waiting.value, waiting.headers["retry-after"]) == (202, {}, "2")
    catalog = client.app.live.world.context.catalog
    await Logins(catalog.logins).end(page, "bob")
    assert (await client.ask("HEAD", done)).status == 401
    told = await client.ask("GET", done, repository="main")
    assert told.headers["cache-control"] == "no-store"
    token = told.value["token"]
    assert (await client.ask("GET", "-/whoami", auth=f"Bearer {token}")).value == {"username": "bob"}
    assert (await client.ask("GET", done)).status == 404
    kept = client.app.live.world.context.catalog.accounts
    assert secret not in repr(await kept.snapshot())


async def test_an_account_that_was_shut_meanwhile_gets_no_token(client: Client) -> None:
    begun = (await client.ask("POST", "-/v1/login", {})).value
    page, done = begun["loginUrl"].rpartition("/")[2], begun["doneUrl"].partition("/closed/")[2]
    world = client.app.live.world
    await Logins(world.context.catalog.logins).end(page, "eve")
    users = {user.name: user for user in (await world.context.catalog.accounts.snapshot()).users}
    await world.context.catalog.accounts.delete_user(users["eve"].name)
    assert (await client.ask("GET", done)).status in (403, 404)
    assert not [each for each in (await world.context.catalog.accounts.snapshot()).tokens if each.user == "eve"]


async def test_what_is_not_about_accounts_still_asks_for_rights(client: Client) -> None:
    for path in ("-", "-/", "-/v1", "-/v1/other", "-%2Fv1%2Flogin", "x/-/whoami", "%00", "-/whoami%00"):
        assert (await client.ask("GET", path)).status == 401, path
    assert (await client.ask("POST", "-/v1/done/x")).status == 401
    assert client.app.live.world.state.access.readable(Actor()) != ()
