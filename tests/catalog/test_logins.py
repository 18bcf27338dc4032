"""Pending logins and signing keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from reliquary.access import logins
from reliquary.access.logins import LIFE, Logins, code, form_token
from reliquary.catalog.engine import Catalog
from reliquary.catalog.keys import KeyRow
from reliquary.catalog.logins import LoginRow
from reliquary.catalog.records import UserRow
from reliquary.errors import Conflict, NotHere
from tests.catalog.build import LATER, NOW, digest

pytestmark = pytest.mark.anyio

LOGIN = LoginRow(digest("page"), digest("secret"), "npm", NOW, NOW + LIFE)


def login(name: str) -> LoginRow:
    return replace(LOGIN, page=digest(f"page of {name}"), secret=digest(f"secret of {name}"), title=name)


@pytest.fixture
async def ann(catalog: Catalog) -> str:
    await catalog.accounts.add_user(UserRow("ann", None, NOW))
    return "ann"


async def test_a_login_is_found_by_both_of_its_secrets(catalog: Catalog) -> None:
    assert await catalog.logins.add(LOGIN, 10)
    assert await catalog.logins.add(login("other"), 10)
    assert await catalog.logins.find(page=LOGIN.page, now=NOW) == LOGIN
    assert await catalog.logins.find(secret=LOGIN.secret, now=NOW) == LOGIN
    for wrong in (LOGIN.secret, "", digest("else")):
        assert await catalog.logins.find(page=wrong, now=NOW) is None
    assert await catalog.logins.find(secret=LOGIN.page, now=NOW) is None
    assert LOGIN.secret not in repr(LOGIN)


async def test_a_login_is_ended_once_and_taken_once(catalog: Catalog, ann: str) -> None:
    await catalog.logins.add(LOGIN, 10)
    assert await catalog.logins.take(LOGIN.secret, NOW) is None
    ended = await asyncio.gather(*[catalog.logins.end(LOGIN.page, ann, NOW) for _ in range(5)])
    assert sorted(ended) == [False] * 4 + [True]
    found = await catalog.logins.find(secret=LOGIN.secret, now=NOW)
    assert found == replace(LOGIN, user=ann)
    taken = await asyncio.gather(*[catalog.logins.take(LOGIN.secret, NOW) for _ in range(5)])
    assert [each for each in taken if each] == [ann]
    assert await catalog.logins.find(page=LOGIN.page, now=NOW) is None


async def test_logins_expire(catalog: Catalog, ann: str) -> None:
    await catalog.logins.add(LOGIN, 10)
    late = NOW + LIFE
    assert await catalog.logins.find(page=LOGIN.page, now=late) is None
    assert not await catalog.logins.end(LOGIN.page, ann, late)
    assert await catalog.logins.end(LOGIN.page, ann, late - timedelta(seconds=1))
    assert await catalog.logins.take(LOGIN.secret, late) is None


async def test_pending_logins_are_bounded_and_old_ones_make_room(catalog: Catalog) -> None:
    for name in ("a", "b"):
        assert await catalog.logins.add(login(name), 2)
    assert not await catalog.logins.add(login("c"), 2)
    assert await catalog.logins.find(page=login("c").page, now=NOW) is None
    assert await catalog.logins.add(replace(login("d"), created=LATER, expires=LATER + LIFE), 2)
    assert await catalog.logins.find(page=login("a").page, now=NOW) is None


async def test_a_login_goes_with_its_user(catalog: Catalog, ann: str) -> None:
    await catalog.logins.add(LOGIN, 10)
    await catalog.logins.end(LOGIN.page, ann, NOW)
    await catalog.accounts.delete_user(ann)
    assert await catalog.logins.find(page=LOGIN.page, now=NOW) is None


async def test_two_secrets_that_are_not_kept(catalog: Catalog, ann: str) -> None:
    pending = Logins(catalog.logins, lambda: NOW)
    page, secret = await pending.begin("npm\n on\x1b[31m desk" + "k" * 500)
    row = await pending.pending(page)
    assert row.title.startswith("npm on[31m desk")
    assert len(row.title) == logins.TITLE
    assert page not in repr((row, row.page, row.secret))
    assert secret not in (row.page, row.secret)
    with pytest.raises(NotHere):
        await pending.pending(secret)
    with pytest.raises(NotHere):
        await pending.take(page)
    assert await pending.take(secret) is None
    await pending.end(page, ann)
    for over in (pending.pending(page), pending.end(page, ann)):
        with pytest.raises(NotHere, match="begin a new one"):
            await over
    assert await pending.take(secret) == (ann, row.title)
    with pytest.raises(NotHere):
        await pending.take(secret)


async def test_the_form_of_one_login_is_no_other_ones(catalog: Catalog) -> None:
    pending = Logins(catalog.logins, lambda: NOW)
    first, second = [(await pending.begin("npm"))[0] for _ in range(2)]
    rows = [await pending.pending(page) for page in (first, second)]
    assert form_token(rows[0]) != form_token(rows[1])
    assert form_token(rows[0]) == form_token(await pending.pending(first))
    assert code(first).replace("-", "") == first[:8]


async def test_too_many_logins_ask_for_the_password(catalog: Catalog) -> None:
    pending = Logins(catalog.logins, lambda: NOW, most=5)
    for _ in range(5):
        await pending.begin("npm")
    with pytest.raises(Conflict, match="password"):
        await pending.begin("npm")
    assert await Logins(catalog.logins, lambda: LATER, most=5).begin("npm")


async def test_a_key_is_its_first_writers(catalog: Catalog) -> None:
    key = KeyRow("signing", "private text", "public text", NOW)
    other = replace(key, private="other", public="other", created=LATER, expires=LATER)
    assert await catalog.keys.all() == []
    assert await catalog.keys.add(key) == key
    assert await catalog.keys.add(other) == key
    second = await catalog.keys.add(replace(other, name="another"))
    assert await catalog.keys.all() == [second, key]
    assert "private text" not in repr(key)


async def test_many_writers_agree_on_a_key(catalog: Catalog) -> None:
    wanted = [KeyRow("signing", f"private {at}", f"public {at}", NOW) for at in range(8)]
    kept = await asyncio.gather(*map(catalog.keys.add, wanted))
    assert set(kept) == {(await catalog.keys.all())[0]}
    assert set(kept) <= set(wanted)
