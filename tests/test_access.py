"""Access: who asks, what they may do, and what it costs to guess."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from reliquary.access import tokens
from reliquary.access.globs import matches
from reliquary.access.may import Access
from reliquary.access.passwords import FAILURES, Passwords
from reliquary.catalog.records import AccountsSnapshot, TokenRow, UserRow
from reliquary.errors import Forbidden, Malformed, Unauthenticated
from reliquary.types import Action, Actor, Grant, Kind, RepositorySpec, Scope

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
OPEN = RepositorySpec(1, "pypi", "open", Kind.HOSTED)
CLOSED = RepositorySpec(2, "pypi", "closed", Kind.HOSTED, anonymous_read=False)
OTHER = RepositorySpec(3, "npm", "closed", Kind.HOSTED, anonymous_read=False)


def person(name: str, password_hash: str | None = None, *, admin: bool = False, disabled: bool = False) -> UserRow:
    return UserRow(name, password_hash, NOW, admin, disabled)


def token_row(number: int, user: str, digest: str, scopes: tuple[Scope, ...] | None = None) -> TokenRow:
    return TokenRow("ci", user, digest, "rlq_", NOW, scopes, id=number)


@dataclass
class Clock:
    at: float = 1000.0

    def __call__(self) -> float:
        return self.at


@dataclass
class CountingHasher(PasswordHasher):
    """Counts the checks that were really made, by user password."""

    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override] # noqa: A002
        self.calls.append(str(password))
        return super().verify(hash, password)


def basic(text: str | bytes) -> str:
    return "Basic " + b64encode(text.encode() if isinstance(text, str) else text).decode()


def access(
    *users: UserRow, known: Sequence[TokenRow] = (), grants: Sequence[Grant] = (), now: datetime = NOW
) -> Access:
    book = AccountsSnapshot(users, tuple(known), tuple(grants))
    return Access(book, [OPEN, CLOSED, OTHER], Passwords(CHEAP), lambda: now)


def grant(user: str, repositories: str, *actions: Action, packages: str = "*") -> Grant:
    return Grant(user, repositories, frozenset(actions), packages)


def allowed(rights: Access, actor: Actor, repository: RepositorySpec, package: str | None = None) -> set[str]:
    return {action.value for action in Action if rights.may(actor, action, repository, package)}


def test_anonymous_may_read_what_is_open_and_nothing_else() -> None:
    rights = access()
    assert allowed(rights, Actor(), OPEN) == {"read"}
    assert allowed(rights, Actor(), CLOSED) == set()
    assert rights.readable(Actor()) == (OPEN,)
    with pytest.raises(Unauthenticated):
        rights.require(Actor(), Action.READ, CLOSED)
    with pytest.raises(Unauthenticated):
        rights.require(Actor(), Action.PUBLISH, OPEN, "six")
    rights.require(Actor(), Action.READ, OPEN)


def test_grants_give_what_they_name() -> None:
    rights = access(
        person("reader"),
        grants=[
            grant("reader", "pypi/*", Action.READ),
            grant("publisher", "pypi/closed", Action.PUBLISH, packages="acme-*"),
            grant("keeper", "*", Action.ADMIN, packages="acme-*"),
        ],
    )
    assert allowed(rights, Actor("reader"), CLOSED) == {"read"}
    assert allowed(rights, Actor("reader"), OTHER) == set()
    assert allowed(rights, Actor("publisher"), CLOSED) == {"publish"}
    assert allowed(rights, Actor("publisher"), CLOSED, "acme-six") == {"publish"}
    assert allowed(rights, Actor("publisher"), CLOSED, "six") == set()
    assert allowed(rights, Actor("publisher"), CLOSED, "ACME-six") == set()
    assert allowed(rights, Actor("keeper"), OTHER) == {"read", "publish", "delete", "admin"}
    assert allowed(rights, Actor("keeper"), OTHER, "six") == {"read", "admin"}
    assert allowed(rights, Actor("stranger"), CLOSED) == set()
    assert allowed(rights, Actor("root", admin=True), CLOSED, "six") == {"read", "publish", "delete", "admin"}
    with pytest.raises(Forbidden, match=r"publisher may not publish six in pypi/closed"):
        rights.require(Actor("publisher"), Action.PUBLISH, CLOSED, "six")


def test_token_scopes_only_take_away() -> None:
    rights = access(grants=[grant("a", "pypi/*", Action.READ, Action.PUBLISH)])
    publish = (tokens.parse_scope("publish:pypi/closed:acme-*"),)
    assert allowed(rights, Actor("a", scopes=publish), CLOSED, "acme-six") == {"publish"}
    assert allowed(rights, Actor("a", scopes=publish), CLOSED, "six") == set()
    assert allowed(rights, Actor("a", scopes=publish), OPEN) == {"read"}
    read = (tokens.parse_scope("read"),)
    assert allowed(rights, Actor("a", scopes=read), CLOSED) == {"read"}
    assert allowed(rights, Actor("a", scopes=read), OTHER) == set()
    assert allowed(rights, Actor("a", scopes=()), CLOSED) == set()
    wide = (tokens.parse_scope("read,publish,delete,admin"),)
    assert allowed(rights, Actor("a", scopes=wide), CLOSED) == {"read", "publish"}
    assert allowed(rights, Actor("root", admin=True, scopes=read), CLOSED) == {"read"}


def test_a_group_lists_members_that_all_its_readers_may_read() -> None:
    group = replace(CLOSED, id=9, name="all", kind=Kind.GROUP)
    both = [grant("a", "pypi/*", Action.READ), grant("b", "pypi/all", Action.READ)]
    assert access(grants=both[:1]).readable_by_all_readers_of(group, CLOSED)
    assert not access(grants=both).readable_by_all_readers_of(group, CLOSED)
    assert access(person("b", admin=True), grants=both).readable_by_all_readers_of(group, CLOSED)
    assert access(grants=both).readable_by_all_readers_of(group, OPEN)
    assert not access(grants=both[:1]).readable_by_all_readers_of(replace(group, anonymous_read=True), CLOSED)


async def test_every_way_to_show_a_token() -> None:
    text, digest = tokens.mint()
    rights = access(person("a"), known=[token_row(7, "a", digest, (tokens.parse_scope("read"),))])
    ways = [
        f"Bearer {text}",
        f"bearer  {text}",
        text,
        basic(f"__token__:{text}"),
        basic(f"a:{text}"),
        basic(f"x:{text}"),
    ]
    for way in ways:
        assert await rights.identify(way) == Actor("a", False, 7, (Scope(frozenset({Action.READ})),))


async def test_passwords_and_the_lack_of_credentials() -> None:
    rights = access(person("a", CHEAP.hash("se:cret ü"), admin=True))
    assert await rights.identify(None) == await rights.identify("") == Actor()
    assert await rights.identify(basic("a:se:cret ü")) == Actor("a", admin=True)


@pytest.mark.parametrize(
    "authorization",
    [
        basic("a:wrong"),
        basic("A:secret-1"),
        basic("nobody:secret-1"),
        basic("tokens-only:"),
        basic("off:secret-1"),
        basic("no colon"),
        basic(":"),
        basic(b"a:\xff"),
        "Basic !!!",
        "Basic",
        "Basic \xe9",
        "Bearer",
        "Bearer rlq_" + "A" * 43,
        "rlq_",
        "Digest username=a",
        "Basic " + "A" * 9000,
        " ",
    ],
)
async def test_bad_credentials(authorization: str) -> None:
    hashed = CHEAP.hash("secret-1")
    rights = access(person("a", hashed), person("tokens-only"), person("off", hashed, disabled=True))
    with pytest.raises(Unauthenticated):
        await rights.identify(authorization)


async def test_tokens_end() -> None:
    text, digest = tokens.mint()
    good = replace(token_row(1, "a", digest), expires=NOW + timedelta(seconds=1))
    assert (await access(person("a"), known=[good]).identify(text)).scopes is None
    ended: list[tuple[UserRow, TokenRow]] = [
        (person("a"), replace(good, expires=NOW)),
        (person("a"), replace(good, revoked=NOW)),
        (person("a", disabled=True), good),
        (person("b"), good),
    ]
    for user, token in ended:
        with pytest.raises(Unauthenticated):
            await access(user, known=[token]).identify(text)


def test_tokens_are_long_distinct_and_kept_hashed() -> None:
    minted = [tokens.mint() for _ in range(100)]
    assert len({text for text, _ in minted}) == 100
    for text, digest in minted:
        assert tokens.is_token(text)
        assert len(text) == 47
        assert digest == tokens.digest(text)
        assert text not in digest
    assert not tokens.is_token(minted[0][0] + "\n")


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("read", Scope(frozenset({Action.READ}))),
        (
            "read,publish:pypi/local:acme-*",
            Scope(frozenset({Action.READ, Action.PUBLISH}), ("pypi/local",), ("acme-*",)),
        ),
        ("delete:pypi/a,npm/b:x,y:z", Scope(frozenset({Action.DELETE}), ("pypi/a", "npm/b"), ("x", "y:z"))),
        ("publish:*:six", Scope(frozenset({Action.PUBLISH}), ("*",), ("six",))),
    ],
)
def test_scopes_have_a_text(text: str, scope: Scope) -> None:
    assert tokens.parse_scope(text) == scope
    assert tokens.format_scope(scope) == text


@pytest.mark.parametrize("text", ["", "write", "read,", "read::", "read:", "read:a,", "read: a", "read\n", ":a"])
def test_broken_scopes(text: str) -> None:
    with pytest.raises(Malformed):
        tokens.parse_scope(text)


async def test_good_answers_are_remembered_for_a_while() -> None:
    hasher, clock = CountingHasher(), Clock()
    passwords = Passwords(hasher, clock=clock, life=300)
    stored = await passwords.hash("right")
    answers = await asyncio.gather(*(passwords.check("a", stored, "right") for _ in range(20)))
    assert all(answers)
    assert len(hasher.calls) <= 2
    seen = len(hasher.calls)
    assert not await passwords.check("a", stored, "wrong")
    assert not await passwords.check("b", None, "right")
    assert not await passwords.check("a", CHEAP.hash("other"), "right")
    assert len(hasher.calls) == seen + 3
    clock.at += 300
    assert await passwords.check("a", stored, "right")
    assert len(hasher.calls) == seen + 4


async def test_guessing_is_stopped_without_work() -> None:
    hasher, clock = CountingHasher(), Clock()
    passwords = Passwords(hasher, clock=clock)
    stored = await passwords.hash("right")
    assert await passwords.check("busy", stored, "right")
    hasher.calls.clear()
    for user in ("a", "busy", "nobody"):
        guesses = (passwords.check(user, stored if user != "nobody" else None, f"guess {at}") for at in range(100))
        assert not any(await asyncio.gather(*guesses))
    assert len(hasher.calls) <= 3 * (FAILURES + 1)
    assert not await passwords.check("a", stored, "right")
    assert await passwords.check("busy", stored, "right")
    clock.at += 60
    assert await passwords.check("a", stored, "right")


async def test_a_name_that_nobody_can_have_costs_nothing() -> None:
    hasher = CountingHasher()
    found = Access(AccountsSnapshot(), (), Passwords(hasher))
    for name, checks in (("a" * 129, 0), ("a" * 128, 1)):
        with pytest.raises(Unauthenticated, match="user name or the password"):
            await found.login(name, "wrong")
        assert len(hasher.calls) == checks


async def test_unknown_users_take_as_long_as_known_ones() -> None:
    passwords = Passwords(PasswordHasher(time_cost=2, memory_cost=16_384))
    stored = await passwords.hash("right")

    async def took(user: str, hashed: str | None) -> float:
        started = time.perf_counter()
        assert not await passwords.check(user, hashed, "wrong")
        return time.perf_counter() - started

    known = min([await took("a", stored) for _ in range(5)])
    unknown = min([await took("b", None) for _ in range(5)])
    assert known / 3 < unknown < known * 3


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "", True),
        ("", "", True),
        ("", "a", False),
        ("acme-*", "acme-", True),
        ("acme-*", "xacme-a", False),
        ("*-acme", "a-acme\n", False),
        ("a*b*c", "aXbXbXc", True),
        ("a*b*c", "acb", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("[ab].*", "a.x", False),
        ("[ab].*", "[ab].x", True),
        ("@acme/*", "@acme/x", True),
        ("*a*", "bab", True),
        ("**", "a\nb", True),
    ],
)
def test_globs(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits


def plain(pattern: str, name: str) -> bool:
    """The meaning of a glob, written the slow way."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return plain(pattern[1:], name) or bool(name and plain(pattern, name[1:]))
    return bool(name) and pattern[0] in ("?", name[0]) and plain(pattern[1:], name[1:])


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_globs_mean_what_they_say(pattern: str, name: str) -> None:
    assert matches(pattern, name) is plain(pattern, name)


def test_globs_of_many_stars_are_quick() -> None:
    started = time.perf_counter()
    assert not matches("*a" * 200 + "b", "a" * 4000)
    assert not matches("*?a" * 150 + "b", "a" * 4000)
    assert time.perf_counter() - started < 2
