"""Accounts: who may change them, and that no token outdoes its maker."""

from __future__ import annotations

import asyncio
import stat
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from reliquary.access import tokens
from reliquary.access.accounts import Accounts
from reliquary.access.globs import covers, matches
from reliquary.access.may import Access
from reliquary.access.passwords import Passwords
from reliquary.catalog.engine import Catalog
from reliquary.catalog.migrate import upgrade
from reliquary.errors import Conflict, Forbidden, Malformed, NotHere, Unauthenticated
from reliquary.types import Actor, Kind, RepositorySpec

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
OPEN = RepositorySpec(1, "pypi", "open", Kind.HOSTED)
CLOSED = RepositorySpec(2, "pypi", "closed", Kind.HOSTED, anonymous_read=False)


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


ROOT = Actor("root", admin=True)


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[tuple[Accounts, Catalog]]:
    url = f"sqlite:///{tmp_path / 'reliquary.db'}"
    await asyncio.to_thread(upgrade, url)
    catalog = await Catalog.open(url)
    yield Accounts(catalog, Passwords(CHEAP), lambda: NOW), catalog
    await catalog.close()


async def rights_of(catalog: Catalog) -> Access:
    return Access(await catalog.accounts.snapshot(), [OPEN, CLOSED], Passwords(CHEAP), lambda: NOW)


async def test_users_are_made_and_change_their_password(accounts: tuple[Accounts, Catalog]) -> None:
    changes, catalog = accounts
    await changes.create_user(ROOT, "a", "first-password")
    with pytest.raises(Conflict):
        await changes.create_user(ROOT, "a")
    for by in (Actor("a"), replace(ROOT, scopes=(tokens.parse_scope("admin"),))):
        with pytest.raises(Forbidden):
            await changes.create_user(by, "b")
    for by in (Actor("b"), Actor("a", scopes=())):
        with pytest.raises(Forbidden):
            await changes.change_password(by, "a", "second-password")
    with pytest.raises(Unauthenticated):
        await changes.change_password(Actor(), "a", "second-password")
    await changes.change_password(Actor("a"), "a", "second-password")
    rights = await rights_of(catalog)
    assert await rights.identify(basic("a:second-password")) == Actor("a")
    with pytest.raises(Unauthenticated):
        await rights.identify(basic("a:first-password"))
    await changes.disable_user(ROOT, "a")
    with pytest.raises(Unauthenticated):
        await (await rights_of(catalog)).identify(basic("a:second-password"))
    with pytest.raises(NotHere):
        await changes.change_password(ROOT, "nobody", "second-password")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("a", "short"),
        ("longer-name", "Longer-Name"),
        ("a", "x" * 1025),
        ("a", "rlq_" + "x" * 20),
        ("", "p" * 9),
        ("a:b", None),
        ("__token__", None),
    ],
)
async def test_names_and_passwords_have_rules(
    accounts: tuple[Accounts, Catalog], name: str, password: str | None
) -> None:
    changes, catalog = accounts
    with pytest.raises(Malformed):
        await changes.create_user(ROOT, name, password)
    assert (await catalog.accounts.snapshot()).users == ()


async def test_a_token_never_has_more_than_its_maker(accounts: tuple[Accounts, Catalog]) -> None:
    changes, catalog = accounts
    await changes.create_user(ROOT, "a")
    end = NOW + timedelta(days=1)
    scopes = [tokens.parse_scope("read,publish:pypi/*:acme-*")]
    text, row = await changes.create_token(Actor("a"), "ci", scopes=scopes, expires=end)
    assert row.prefix == text[: len(row.prefix)] != text
    maker = await (await rights_of(catalog)).identify(text)
    assert maker == Actor("a", False, row.id, tuple(scopes))
    for narrow in ("read:pypi/a", "publish:pypi/a:acme-x*,acme-?", "read:pypi/*:other"):
        await changes.create_token(maker, "less", scopes=[tokens.parse_scope(narrow)], expires=end)
    for wide in ("delete:pypi/a:acme-a", "publish:pypi/a", "read", "read:pyp?/*", "publish:pypi/a:acme*", "admin"):
        with pytest.raises(Forbidden):
            await changes.create_token(maker, "more", scopes=[tokens.parse_scope(wide)], expires=end)
    with pytest.raises(Forbidden):
        await changes.create_token(maker, "all", expires=end)
    for late in (None, end + timedelta(seconds=1)):
        with pytest.raises(Forbidden):
            await changes.create_token(maker, "longer", scopes=scopes, expires=late)
    with pytest.raises(Forbidden):
        await changes.create_token(Actor("b"), "another's", user="a")
    with pytest.raises(Unauthenticated):
        await changes.create_token(Actor(), "nobody's")
    with pytest.raises(Malformed):
        await changes.create_token(Actor("a"), "past", expires=NOW)
    with pytest.raises(Malformed):
        await changes.create_token(Actor("a"), "none", scopes=[])
    with pytest.raises(NotHere):
        await changes.create_token(ROOT, "ci", user="nobody")


async def test_tokens_are_revoked_by_those_who_may(accounts: tuple[Accounts, Catalog]) -> None:
    changes, catalog = accounts
    for name in ("a", "b"):
        await changes.create_user(ROOT, name)
    text, row = await changes.create_token(Actor("a"), "ci", scopes=[tokens.parse_scope("read")])
    _, other = await changes.create_token(Actor("a"), "other")
    maker = await (await rights_of(catalog)).identify(text)
    for by in (Actor("b"), replace(maker, token_id=other.id + 1)):
        with pytest.raises(Forbidden):
            await changes.revoke_token(by, row.id)
    with pytest.raises(Forbidden):
        await changes.revoke_token(maker, other.id)
    await changes.revoke_token(maker, row.id)
    with pytest.raises(Unauthenticated):
        await (await rights_of(catalog)).identify(text)
    with pytest.raises(NotHere):
        await changes.revoke_token(ROOT, row.id)


async def test_the_first_start_makes_an_administrator(accounts: tuple[Accounts, Catalog], tmp_path: Path) -> None:
    changes, catalog = accounts
    (tmp_path / "admin.token").write_text("left by a start that was killed", encoding="ascii")
    path = await changes.ensure_admin(tmp_path)
    assert path == tmp_path / "admin.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text(encoding="ascii").strip()
    actor = await (await rights_of(catalog)).identify(f"Bearer {text}")
    assert (actor.name, actor.admin, actor.scopes) == ("admin", True, None)
    assert await changes.ensure_admin(tmp_path) is None
    assert path.read_text(encoding="ascii").strip() == text


async def test_a_first_start_that_was_killed_is_made_good(accounts: tuple[Accounts, Catalog], tmp_path: Path) -> None:
    changes, _ = accounts
    await changes.create_user(ROOT, "admin", admin=True)
    assert await changes.ensure_admin(tmp_path) is not None
    await changes.create_user(ROOT, "b")
    assert await changes.ensure_admin(tmp_path) is None


@given(st.text("ab*?", max_size=6), st.text("ab*?", max_size=6), st.text("ab", max_size=8))
def test_a_wider_glob_takes_in_what_the_narrower_does(wide: str, narrow: str, name: str) -> None:
    if covers(wide, narrow) and matches(narrow, name):
        assert matches(wide, name)


@pytest.mark.parametrize(("wide", "narrow"), [("*", "a?*"), ("a*", "ab*"), ("pypi/*", "pypi/a"), ("a?", "a?")])
def test_plainly_wider_globs_are_known_to_be(wide: str, narrow: str) -> None:
    assert covers(wide, narrow)
