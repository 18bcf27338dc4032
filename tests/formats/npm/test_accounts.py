"""Login, tokens and profile over accounts in memory: what clients send, and what they are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from reliquary.errors import Malformed, NotHere, TooLarge, Unauthenticated, WrongMethod
from reliquary.formats.base import Call
from reliquary.formats.npm import accounts, paths
from reliquary.formats.verbs import Accounts, Reply, Shelf, TokenFacts, UserFacts, WebLogin
from tests.formats.pypi.shelf import Request

pytestmark = pytest.mark.anyio

MADE = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
BASE = "http://packages.example/npm/main/"


@dataclass
class MemoryAccounts:
    """Implements `reliquary.formats.verbs.Accounts`: everybody's password is ``right``."""

    name: str | None = "ann"
    facts: list[TokenFacts] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    waiting: dict[str, str | None] = field(default_factory=dict)

    def known(self) -> str:
        if self.name is None:
            raise Unauthenticated("who are you?")
        return self.name

    async def login(self, user: str, password: str, title: str) -> str:
        if password != "right":
            raise Unauthenticated("the user name or the password is wrong")
        self.titles.append(title)
        return f"rlq_of-{user}"

    async def user(self, name: str) -> UserFacts:
        self.known()
        if name not in ("ann", "b@b.example"):
            raise NotHere("no such user")
        return UserFacts(name, MADE)

    async def tokens(self) -> Sequence[TokenFacts]:
        self.known()
        return self.facts

    async def create(
        self, password: str, title: str, *, readonly: bool = False, days: int | None = None
    ) -> tuple[str, TokenFacts]:
        await self.login(self.known(), password, title)
        end = None if days is None else MADE + timedelta(days=days)
        facts = TokenFacts("key9", title, "rlq_abcdef", readonly, MADE, expires=end)
        return "rlq_abcdef-whole", facts

    async def revoke(self, key: str) -> None:
        self.known()
        if key == "foreign":
            raise NotHere("you have no such token")
        self.revoked.append(key)

    async def begin_web_login(self, title: str) -> WebLogin:
        self.titles.append(title)
        self.waiting["s3cret"] = None
        return WebLogin("http://packages.example/login/0123", "s3cret")

    async def web_login(self, secret: str) -> str | None:
        if secret not in self.waiting:
            raise NotHere("no such login")
        return self.waiting[secret] if self.waiting[secret] is None else self.waiting.pop(secret)


@dataclass
class Asking(Request):
    """A request of somebody."""

    who: Accounts = field(default_factory=MemoryAccounts)
    base_url: str = BASE

    @property
    def accounts(self) -> Accounts:
        return self.who


SHELF = cast("Shelf", None)
"""No shelf: nothing here is about a repository."""


def asking(method: str, path: str, body: Any = None, *, who: Accounts | None = None, agent: str = "") -> Asking:
    path, _, query = path.partition("?")
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Asking(
        method=method,
        segments=tuple(path.split("/")),
        data=data,
        query=dict(pair.split("=", 1) for pair in query.split("&") if pair),
        headers={"user-agent": agent} if agent else {},
        who=who or MemoryAccounts(),
    )


def value(reply: Reply, status: int = 200) -> Any:
    assert reply.status == status
    assert reply.content_type == "application/json"
    return json.loads(reply.body)


def couch(name: str, password: Any, **more: Any) -> dict[str, Any]:
    """What clients send."""
    return {
        "_id": f"org.couchdb.user:{name}",
        "name": name,
        "password": password,
        "type": "user",
        "roles": [],
        "date": "2026-03-01T12:00:00.000Z",
        **more,
    }


@pytest.mark.parametrize("end", ["", "/-rev/1"])
async def test_a_password_opens_an_account(end: str) -> None:
    who = MemoryAccounts(None)
    path = f"-/user/org.couchdb.user:b@b.example{end}"
    request = asking("PUT", path, couch("b@b.example", "right"), who=who, agent="npm/11.2.0 node/v22 linux x64")
    told = value(await accounts.login(request, SHELF), 201)
    assert told == {"ok": True, "id": "org.couchdb.user:b@b.example", "rev": "1", "token": "rlq_of-b@b.example"}
    assert who.titles == ["npm/11.2.0"]


async def test_a_wrong_password_asks_for_no_other_one() -> None:
    with pytest.raises(Unauthenticated) as caught:
        await accounts.login(asking("PUT", "-/user/org.couchdb.user:ann", couch("ann", "wrong")), SHELF)
    # npm takes these words for a wish.
    assert "one-time pass" not in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        couch("bob", "right"),
        couch("ann", "right", _id="org.couchdb.user:bob"),
        couch("ann", None),
        couch("ann", ""),
        couch("ann", 5),
        [],
        b"{",
        b"[" * 60_000,
        b'"ann"',
    ],
)
async def test_a_login_that_is_none(body: Any) -> None:
    with pytest.raises(Malformed):
        await accounts.login(asking("PUT", "-/user/org.couchdb.user:ann", body), SHELF)


async def test_a_login_is_small_and_names_a_user() -> None:
    with pytest.raises(TooLarge):
        await accounts.login(asking("PUT", "-/user/org.couchdb.user:ann", b" " * 65_537), SHELF)
    for name in ("", "x" * 129):
        with pytest.raises(Malformed):
            await accounts.login(asking("PUT", f"-/user/org.couchdb.user:{name}", couch(name, "right")), SHELF)


async def test_escaped_slashes_are_slashes() -> None:
    for segments in (("-/user/org.couchdb.user:ann",), ("-", "user/org.couchdb.user:ann", "")):
        found = Asking(method="GET", segments=segments)
        assert value(await accounts.user(found, SHELF))["name"] == "ann"
    who = MemoryAccounts()
    await accounts.logout(Asking(method="DELETE", segments=("-/user/token/rlq_x", ""), who=who), SHELF)
    assert who.revoked == ["rlq_x"]


async def test_a_title_is_only_ever_plain_text() -> None:
    who = MemoryAccounts()
    for agent in ("", "n\u00e9 x", "a\tb", " x", "y" * 100):
        request = asking("PUT", "-/user/org.couchdb.user:ann", couch("ann", "right"), who=who, agent=agent)
        await accounts.login(request, SHELF)
    assert who.titles == ["npm"] * 4 + ["y" * 40]


async def test_users_see_each_other() -> None:
    found = value(await accounts.user(asking("GET", "-/user/org.couchdb.user:b@b.example"), SHELF))
    assert found["_id"] == "org.couchdb.user:b@b.example"
    assert (found["name"], found["email"]) == ("b@b.example", "")
    with pytest.raises(NotHere):
        await accounts.user(asking("GET", "-/user/org.couchdb.user:zed"), SHELF)


async def test_whoami() -> None:
    assert value(await accounts.whoami(asking("GET", "-/whoami"), SHELF)) == {"username": "ann"}


async def test_strangers_are_asked_who_they_are() -> None:
    who = MemoryAccounts(None)
    calls = [
        (accounts.whoami, "GET", "-/whoami"),
        (accounts.user, "GET", "-/user/org.couchdb.user:ann"),
        (accounts.logout, "DELETE", "-/user/token/rlq_x"),
        (accounts.profile, "GET", "-/npm/v1/user"),
        (accounts.set_profile, "POST", "-/npm/v1/user"),
        (accounts.tokens, "GET", "-/npm/v1/tokens"),
        (accounts.create_token, "POST", "-/npm/v1/tokens"),
        (accounts.revoke_token, "DELETE", "-/npm/v1/tokens/token/k"),
    ]
    for run, method, path in calls:
        with pytest.raises(Unauthenticated, match="who are you"):
            await run(asking(method, path, {"password": "right"}, who=who), SHELF)
    assert who.revoked == who.titles == []


async def test_logout_ends_the_token_of_the_address() -> None:
    who = MemoryAccounts()
    assert value(await accounts.logout(asking("DELETE", "-/user/token/rlq_mine", who=who), SHELF)) == {"ok": True}
    assert who.revoked == ["rlq_mine"]
    with pytest.raises(NotHere):
        await accounts.logout(asking("DELETE", "-/user/token/foreign", who=who), SHELF)


async def test_a_profile() -> None:
    found = value(await accounts.profile(asking("GET", "-/npm/v1/user"), SHELF))
    assert found["name"] == "ann"
    assert found["tfa"] is False
    assert found["created"] == found["updated"] == "2026-03-01T12:00:00.123Z"
    for body in ({"password": {"old": "right", "new": "righter!"}}, {"email": "a@a.example"}, {}):
        with pytest.raises(Malformed):
            await accounts.set_profile(asking("POST", "-/npm/v1/user", body), SHELF)


def listed(count: int) -> list[TokenFacts]:
    return [TokenFacts(f"key{at}", f"t{at}", f"rlq_{at:06}", at % 2 == 0, MADE) for at in range(count)]


async def test_tokens_come_in_pages() -> None:
    who = MemoryAccounts(facts=listed(60))
    path, seen = "-/npm/v1/tokens", []
    while path:
        page = value(await accounts.tokens(asking("GET", path, who=who), SHELF))
        assert page["total"] == 60
        assert len(page["objects"]) <= 25
        seen += [each["key"] for each in page["objects"]]
        path = page["urls"].get("next", "").removeprefix(BASE)
    assert seen == [each.key for each in who.facts]


async def test_a_token_as_lists_show_it() -> None:
    who = MemoryAccounts(facts=listed(1))
    page = value(await accounts.tokens(asking("GET", "-/npm/v1/tokens?perPage=1", who=who), SHELF))
    (shown,) = page["objects"]
    # npm compares a token that is to be revoked with this beginning.
    assert shown["token"] == "rlq_000000"
    assert (shown["key"], shown["name"], shown["readonly"]) == ("key0", "t0", True)
    assert shown["cidr_whitelist"] is None
    assert shown["created"] == shown["updated"] == "2026-03-01T12:00:00.123Z"
    assert page["urls"] == {}


async def test_odd_pages() -> None:
    who = MemoryAccounts(facts=listed(3))
    for query, count in (("page=7", 0), ("perPage=0", 1), ("perPage=999999", 3), ("page=", 3)):
        page = value(await accounts.tokens(asking("GET", f"-/npm/v1/tokens?{query}", who=who), SHELF))
        assert len(page["objects"]) == count, query
    for query in ("page=-1", "page=x", "perPage=\u0661", "page=" + "9" * 5000):
        with pytest.raises(Malformed):
            await accounts.tokens(asking("GET", f"-/npm/v1/tokens?{query}", who=who), SHELF)


async def test_a_new_token_is_told_whole() -> None:
    body = {"password": "right", "readonly": True, "cidr_whitelist": []}
    made = value(await accounts.create_token(asking("POST", "-/npm/v1/tokens", body), SHELF), 201)
    assert (made["token"], made["key"], made["readonly"]) == ("rlq_abcdef-whole", "key9", True)
    named = {"name": "ci", "password": "right", "expires": 30, "packages_and_scopes_permission": "read-only"}
    made = value(await accounts.create_token(asking("POST", "-/npm/v1/tokens", named), SHELF), 201)
    assert (made["name"], made["readonly"], made["expires"]) == ("ci", True, "2026-03-31T12:00:00.123Z")
    wide = {"password": "right", "packages_and_scopes_permission": "read-write", "packages_all": True}
    made = value(await accounts.create_token(asking("POST", "-/npm/v1/tokens", wide), SHELF), 201)
    assert (made["name"], made["readonly"], made["expires"]) == ("npm token", False, None)


@pytest.mark.parametrize(
    "more",
    [
        {"cidr_whitelist": ["10.0.0.0/8"]},
        {"packages": ["a"]},
        {"scopes": ["@s"]},
        {"orgs": ["o"]},
        {"orgs_permission": "no-access"},
        {"expires": 0},
        {"expires": "30"},
        {"expires": True},
        {"expires": 10**9},
    ],
)
async def test_a_limit_that_cannot_be_kept_is_refused(more: dict[str, Any]) -> None:
    who = MemoryAccounts()
    with pytest.raises(Malformed):
        await accounts.create_token(asking("POST", "-/npm/v1/tokens", {"password": "right", **more}, who=who), SHELF)
    assert who.titles == []


async def test_a_token_alone_makes_no_token() -> None:
    for body in ({}, {"password": None}):
        with pytest.raises(Malformed, match="password"):
            await accounts.create_token(asking("POST", "-/npm/v1/tokens", body), SHELF)
    with pytest.raises(Unauthenticated):
        await accounts.create_token(asking("POST", "-/npm/v1/tokens", {"password": "wrong"}), SHELF)


async def test_a_token_is_revoked_by_its_key() -> None:
    who = MemoryAccounts()
    reply = await accounts.revoke_token(asking("DELETE", "-/npm/v1/tokens/token/key3", who=who), SHELF)
    assert (reply.status, reply.body, who.revoked) == (204, b"", ["key3"])


async def test_a_login_in_the_browser() -> None:
    who = MemoryAccounts(None)
    request = asking("POST", "-/v1/login", {"hostname": "desk"}, who=who, agent="npm/11.2.0 node/v22")
    told = value(await accounts.begin(request, SHELF))
    assert told == {"loginUrl": "http://packages.example/login/0123", "doneUrl": f"{BASE}-/v1/done/s3cret"}
    assert who.titles == ["npm/11.2.0 on desk"]
    ask = asking("GET", told["doneUrl"].removeprefix(BASE), who=who)
    waiting = await accounts.done(ask, SHELF)
    assert value(waiting, 202) == {}
    assert 1 <= int(dict(waiting.headers)["retry-after"]) <= 3
    who.waiting["s3cret"] = "rlq_new"
    with pytest.raises(WrongMethod):
        await accounts.done(asking("HEAD", "-/v1/done/s3cret", who=who), SHELF)
    assert value(await accounts.done(ask, SHELF)) == {"token": "rlq_new"}
    with pytest.raises(NotHere):
        await accounts.done(ask, SHELF)


@pytest.mark.parametrize("body", [None, {}, {"create": True}, {"hostname": 5}])
async def test_a_login_in_the_browser_begins_with_any_object(body: Any) -> None:
    assert "doneUrl" in value(await accounts.begin(asking("POST", "-/v1/login", body), SHELF))


@pytest.mark.parametrize(
    ("method", "path", "run"),
    [
        ("PUT", "-/user/org.couchdb.user:ann", accounts.login),
        ("PUT", "-/user/org.couchdb.user:ann/-rev/1", accounts.login),
        ("GET", "-/user/org.couchdb.user:ann", accounts.user),
        ("GET", "-/whoami", accounts.whoami),
        ("DELETE", "-/user/token/rlq_x", accounts.logout),
        ("GET", "-/npm/v1/user", accounts.profile),
        ("POST", "-/npm/v1/user", accounts.set_profile),
        ("GET", "-/npm/v1/tokens", accounts.tokens),
        ("POST", "-/npm/v1/tokens", accounts.create_token),
        ("DELETE", "-/npm/v1/tokens/token/k", accounts.revoke_token),
        ("POST", "-/v1/login", accounts.begin),
        ("GET", "-/v1/done/s", accounts.done),
    ],
)
def test_calls_on_accounts_ask_for_no_right(method: str, path: str, run: Any) -> None:
    match = paths.match(method, tuple(path.split("/")), {})
    assert isinstance(match, Call)
    assert (match.run, match.open) == (run, True)


def test_calls_on_packages_ask_for_rights() -> None:
    seen = 0
    names = ("demo", "@s/demo", "-/package/demo", "-/package/@s/demo", "-", "-/npm/v1")
    ends = [
        "",
        *[
            "/1.0.0",
            "/-rev/1",
            "/-/demo-1.0.0.tgz",
            "/-/demo-1.0.0.tgz/-rev/1",
            "/dist-tags",
            "/dist-tags/x",
            "/collaborators",
        ],
    ]
    ends += [
        "/visibility",
        "/access",
        "/v1/search",
        "/keys",
        "/all",
        "/security/audits/quick",
        "/security/advisories/bulk",
    ]
    ends += ["/attestations/demo@1.0.0", "/v1", "/v1/login/x", "/user", "/user/token"]
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"):
        for path in (name + end for name in names for end in ends):
            match = paths.match(method, tuple(path.split("/")), {"write": "true"})
            if isinstance(match, Call) and (method, path) not in (
                ("GET", "-/npm/v1/user"),
                ("POST", "-/npm/v1/user"),
            ):
                assert not match.open, (method, path)
                seen += 1
    assert seen > 50
