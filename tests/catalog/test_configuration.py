"""Repositories, accounts, changes, events and jobs."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from reliquary.catalog.changes import Watch
from reliquary.catalog.engine import Catalog
from reliquary.catalog.records import NewEvent, TokenRow, UserRow
from reliquary.errors import Conflict, NotHere, SettingsError
from reliquary.types import Action, Change, Grant, Kind, Remote, RepositorySpec, Rule, Scope, Verdict
from tests.catalog.build import LATER, NOW, new_file, new_repository, touched

pytestmark = pytest.mark.anyio

ANN = UserRow("ann", "$argon2id$ann", NOW, admin=True)
TOKEN = TokenRow("ci", "ann", "a" * 64, "rel_abc", NOW, scopes=(Scope(frozenset({Action.READ}), ("pypi/*",)),))


async def test_a_repository_is_read_back_as_it_was(catalog: Catalog, hosted: int) -> None:
    spec = RepositorySpec(
        id=0,
        format="pypi",
        name="cache",
        kind=Kind.PROXY,
        remotes=(Remote("https://index.example/", "settings", "bob", "s3cret"),),
        rules=(Rule(Verdict.DENY, "evil-*"), Rule(Verdict.ALLOW, "*")),
        options={"max_age": 60, "offline": False},
        anonymous_read=False,
        declared=True,
    )
    created = await catalog.repositories.create(spec)
    assert created == replace(spec, id=created.id, serial=await catalog.changes.latest())
    group = await catalog.repositories.create(
        RepositorySpec(0, "pypi", "main", Kind.GROUP, members=("private", "cache"))
    )
    assert (await catalog.repositories.all())[1:] == [created, group]
    assert "s3cret" not in repr(created)


async def test_names_are_unique_in_their_format(catalog: Catalog, hosted: int) -> None:
    with pytest.raises(Conflict, match="pypi/private"):
        await new_repository(catalog, "private")
    other = await new_repository(catalog, "private", format="generic")
    moved = replace((await catalog.repositories.all())[1], format="pypi")
    assert moved.id == other
    with pytest.raises(Conflict):
        await catalog.repositories.save(moved)
    assert [spec.format for spec in await catalog.repositories.all()] == ["pypi", "generic"]


async def test_saving_changes_members_and_says_so(catalog: Catalog, hosted: int, proxy: int) -> None:
    group = await new_repository(catalog, "main", Kind.GROUP, members=("private", "cache"))
    spec = (await catalog.repositories.all())[-1]
    saved = await catalog.repositories.save(replace(spec, members=("cache", "private"), name="all"))
    assert await catalog.changes.since(saved.serial - 1) == [Change(saved.serial, group, None)]
    assert (await catalog.repositories.all())[-1] == saved
    with pytest.raises(Conflict, match="nobody"):
        await catalog.repositories.save(replace(saved, members=("nobody",)))
    with pytest.raises(NotHere):
        await catalog.repositories.save(replace(saved, id=999))
    await catalog.repositories.delete(hosted)
    assert (await catalog.repositories.all())[-1] == replace(saved, members=("cache",))


async def test_accounts_are_a_snapshot(catalog: Catalog) -> None:
    await catalog.accounts.add_user(ANN)
    token = await catalog.accounts.add_token(TOKEN)
    free = await catalog.accounts.add_token(replace(TOKEN, name="free", scopes=None, expires=LATER))
    grants = [Grant("ann", "pypi/*", frozenset({Action.READ, Action.PUBLISH}), "six*"), Grant("ann", "*", frozenset())]
    await catalog.accounts.set_grants("ann", grants)
    snapshot = await catalog.accounts.snapshot()
    assert snapshot.users == (ANN,)
    assert snapshot.tokens == (token, free)
    assert snapshot.grants == tuple(grants)
    assert "argon2id" not in repr(snapshot)
    assert "aaaa" not in repr(snapshot)
    await catalog.accounts.set_grants("ann", grants[:1])
    await catalog.accounts.save_user(replace(ANN, disabled=True))
    snapshot = await catalog.accounts.snapshot()
    assert snapshot.grants == (grants[0],)
    assert snapshot.users[0].disabled
    await catalog.accounts.delete_user("ann")
    snapshot = await catalog.accounts.snapshot()
    assert (snapshot.users, snapshot.tokens, snapshot.grants) == ((), (), ())


async def test_every_account_change_is_a_change_of_configuration(catalog: Catalog) -> None:
    await catalog.accounts.add_user(ANN)
    token = await catalog.accounts.add_token(TOKEN)
    await catalog.accounts.set_grants("ann", [])
    await catalog.accounts.token_used({token.id: LATER})
    await catalog.accounts.token_used({})
    assert await catalog.accounts.revoke_token(token.id, LATER)
    assert not await catalog.accounts.revoke_token(token.id)
    changes = await catalog.changes.since(0)
    assert [(change.repository_id, change.scope) for change in changes] == [(None, None)] * 4
    [stored] = (await catalog.accounts.snapshot()).tokens
    assert (stored.last_used, stored.revoked) == (LATER, LATER)


async def test_unknown_and_double_accounts_are_refused(catalog: Catalog) -> None:
    await catalog.accounts.add_user(ANN)
    with pytest.raises(Conflict):
        await catalog.accounts.add_user(ANN)
    bob = replace(ANN, name="bob")
    with pytest.raises(NotHere):
        await catalog.accounts.save_user(bob)
    with pytest.raises(NotHere):
        await catalog.accounts.delete_user("bob")
    with pytest.raises(NotHere):
        await catalog.accounts.add_token(replace(TOKEN, user="bob"))
    with pytest.raises(NotHere):
        await catalog.accounts.set_grants("bob", [])


async def test_trimming_keeps_the_last_change_of_every_scope(catalog: Catalog, hosted: int) -> None:
    for number in range(5):
        scope = "seven" if number == 1 else "six"
        await catalog.files.add(hosted, [new_file(f"{number}", content="a")], touched=touched(scope))
    before = await catalog.changes.since(0)
    assert await catalog.changes.trim(2) == 2
    kept = await catalog.changes.since(0)
    assert [change.scope for change in kept] == [None, "seven", "six", "six"]
    assert kept[-1] == before[-1]
    assert await catalog.changes.since(0, limit=1) == kept[:1]
    latest = await catalog.changes.latest()
    await catalog.changes.trim(0)
    await catalog.accounts.add_user(ANN)
    assert await catalog.changes.latest() == latest + 1


async def test_a_watch_sees_commits_of_other_connections(
    catalog: Catalog, url: str, database_file: Path, hosted: int
) -> None:
    assert database_file.exists()
    watch = catalog.changes.watch()
    try:
        assert not watch.changed()
        await catalog.files.add(hosted, [new_file("a", content="a")], touched=touched())
        assert watch.changed()
        assert not watch.changed()
        await catalog.files.find([hosted], "six/a")
        assert not watch.changed()
        second = await Catalog.open(url)
        await second.accounts.add_user(ANN)
        await second.close()
        assert watch.changed()
    finally:
        watch.close()


def test_a_watch_on_another_database_goes_by_time() -> None:
    watch = Watch("postgresql://db.example/reliquary")
    assert not watch.changed()
    assert watch.since(0) is None
    watch.close()


async def test_events_without_files_have_serials_too(catalog: Catalog, hosted: int) -> None:
    serial = await catalog.events.add(hosted, NewEvent("promote", "six", "1.0", actor="ann"))
    assert serial == await catalog.changes.latest()
    await catalog.events.add(hosted, NewEvent("demote", "six"))
    first, second = await catalog.events.since(hosted, 0, 10)
    assert (first.serial, first.actor, second.actor) == (serial, "ann", None)
    assert first.at.tzinfo is not None
    assert await catalog.events.since(hosted, serial, 10) == [second]
    assert await catalog.events.since(hosted, 0, 1) == [first]


async def test_jobs_are_claimed_once_and_in_order(catalog: Catalog) -> None:
    first = await catalog.jobs.add("sweep", {"dry": True}, "ann")
    second = await catalog.jobs.add("verify", {}, None)
    claimed = await catalog.jobs.claim()
    assert claimed is not None
    assert (claimed.id, claimed.kind, claimed.args, claimed.by, claimed.state) == (
        first,
        "sweep",
        {"dry": True},
        "ann",
        "running",
    )
    other = await catalog.jobs.claim()
    assert other is not None
    assert other.id == second
    assert await catalog.jobs.claim() is None
    await catalog.jobs.finish(first, {"deleted": 3})
    await catalog.jobs.finish(second, None, "no room")
    assert [(job.id, job.state, job.outcome, job.error) for job in await catalog.jobs.list(10)] == [
        (second, "failed", None, "no room"),
        (first, "done", {"deleted": 3}, None),
    ]
    assert await catalog.jobs.get(999) is None


async def test_an_interrupted_job_is_queued_again(catalog: Catalog) -> None:
    number = await catalog.jobs.add("sweep", {}, None)
    claimed = await catalog.jobs.claim()
    assert claimed is not None
    assert claimed.started is not None
    assert await catalog.jobs.requeue(claimed.started) == 0
    assert await catalog.jobs.requeue(claimed.started.replace(year=9999)) == 1
    again = await catalog.jobs.get(number)
    assert again is not None
    assert again.state == "queued"


async def test_what_was_acknowledged_is_in_the_file_without_a_close(
    catalog: Catalog, database_file: Path, hosted: int
) -> None:
    await catalog.files.add(hosted, [new_file("a", content="a")], touched=touched())
    copy = database_file.with_name("copy.db")
    for suffix in ("", "-wal"):
        source = database_file.with_name(database_file.name + suffix)
        copy.with_name(copy.name + suffix).write_bytes(source.read_bytes())
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT key FROM files").fetchall() == [("six/a",)]
    connection.close()


@pytest.mark.parametrize("address", ["nonsense", "mysql://db.example/x", "sqlite://", "sqlite:///:memory:"])
async def test_an_address_that_cannot_work_is_a_settings_error(address: str) -> None:
    with pytest.raises(SettingsError):
        await Catalog.open(address)


async def test_an_empty_database_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="migrate"):
        await Catalog.open(f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []
