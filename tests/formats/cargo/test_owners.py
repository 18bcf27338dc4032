"""Owners: users of this server and teams by name. Numbers in names are items of cargo.md, section 8."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from reliquary.errors import Conflict, Malformed, NotHere, TooLarge, Unauthenticated
from reliquary.formats.cargo import owners
from tests.formats.cargo.conftest import ask, publish, said
from tests.formats.cargo.fakes import Run, Shelved, Who, answer, read
from tests.running import Answer, Running

HERE = "api/v1/crates/leaf_one/owners"


@pytest.fixture
def shelved() -> Shelved:
    found = Shelved()
    found.publish("Leaf_One")
    return found


def put(shelved: Shelved, *users: object, **more: Any) -> Any:
    return read(answer(owners.add, shelved, HERE, {"users": users}, **more))


def delete(shelved: Shelved, *users: object) -> Any:
    return read(answer(owners.remove, shelved, HERE, {"users": users}))


def logins(shelved: Shelved, run: Run = owners.owners, member: str = "users") -> list[str]:
    return [each["login"] for each in read(answer(run, shelved, HERE))[member]]


def test_the_publisher_owns_what_is_published(shelved: Shelved) -> None:
    told = read(answer(owners.owners, shelved, "api/v1/crates/LEAF-one/owners"))
    assert len(told["users"]) == 1
    owner = told["users"][0]
    number = owner.pop("id")
    assert owner == {"login": "anna", "name": "anna", "kind": "user", "url": None, "avatar": None}
    assert isinstance(number, int)


def test_44_owners_are_added_and_removed_in_words(shelved: Shelved) -> None:
    said = put(shelved, "ben")
    assert said == {"ok": True, "msg": "ben has been added to the owners of crate Leaf_One"}
    assert shelved.known["leaf-one"]["owner:ben"] == ""
    assert logins(shelved) == ["anna", "ben"]
    assert "already" in put(shelved, "ben")["msg"]
    said = delete(shelved, "anna")
    assert said == {"ok": True, "msg": "anna has been removed from the owners of crate Leaf_One"}
    assert logins(shelved) == ["ben"]


def test_teams_are_kept_as_they_are_written(shelved: Shelved) -> None:
    assert put(shelved, "github:org:team", "ben", "ldap:crew")["ok"]
    assert shelved.known["leaf-one"]["owner:github:org:team"] == "team"
    assert logins(shelved) == ["anna", "ben", "github:org:team", "ldap:crew"]
    assert logins(shelved, owners.owner_user) == ["anna", "ben"]
    assert logins(shelved, owners.owner_team, "teams") == ["github:org:team", "ldap:crew"]
    kinds = [each["kind"] for each in read(answer(owners.owners, shelved, HERE))["users"]]
    assert kinds == ["user", "user", "team", "team"]
    delete(shelved, "github:org:team")
    assert "owner:github:org:team" not in shelved.known["leaf-one"]


def test_45_ids_fit_and_last(shelved: Shelved) -> None:
    put(shelved, "ben", "github:org:team")
    first = {each["login"]: each["id"] for each in read(answer(owners.owners, shelved, HERE))["users"]}
    assert len(set(first.values())) == 3 and all(0 <= each < 2**32 for each in first.values())
    delete(shelved, "ben")
    again = {each["login"]: each["id"] for each in read(answer(owners.owners, shelved, HERE))["users"]}
    assert again == {login: number for login, number in first.items() if login != "ben"}


@pytest.mark.parametrize("gone", [["anna"], ["anna", "ben"]])
def test_the_last_user_stays(shelved: Shelved, gone: list[str]) -> None:
    put(shelved, "github:org:team", *gone[1:])
    before = dict(shelved.known["leaf-one"])
    with pytest.raises(Conflict, match="without a user who owns it; add another owner first"):
        delete(shelved, *gone)
    assert shelved.known["leaf-one"] == before


@dataclass
class Crowded(Shelved):
    """One where ben is removed while others are."""

    async def set_properties(self, name: str, values: Mapping[str, str | None]) -> None:
        self.known[name].pop("owner:ben", None)
        await super().set_properties(name, values)


def test_two_who_are_removed_at_once_do_not_leave_nobody() -> None:
    shelved = Crowded()
    shelved.publish("Leaf_One")
    shelved.known["leaf-one"]["owner:ben"] = ""
    with pytest.raises(Conflict, match="without a user who owns it"):
        delete(shelved, "anna")
    assert logins(shelved) == ["anna"]


def test_who_is_not_known_cannot_own(shelved: Shelved) -> None:
    with pytest.raises(Malformed, match="there is no user 'carl' here"):
        put(shelved, "ben", "carl")
    assert logins(shelved) == ["anna"]  # all of them or none


@pytest.mark.parametrize("team", ["github:", ":x", "a:b:c:d", "github:org:te am", "github:org:\u00e9"])
def test_a_team_is_written_like_one(shelved: Shelved, team: str) -> None:
    with pytest.raises(Malformed, match="not written like a team"):
        put(shelved, team)


def test_who_owns_nothing_cannot_be_removed(shelved: Shelved) -> None:
    with pytest.raises(NotHere, match="'ben' is not an owner of crate `Leaf_One`"):
        delete(shelved, "ben")


def test_who_asks_must_be_known_to_learn_who_is(shelved: Shelved) -> None:
    with pytest.raises(Unauthenticated):
        put(shelved, "ben", accounts=Who({"ben": "pass"}, None))


@pytest.mark.parametrize("run", [owners.add, owners.remove, owners.owners, owners.owner_user, owners.owner_team])
def test_an_unknown_crate_has_no_owners(shelved: Shelved, run: Run) -> None:
    with pytest.raises(NotHere, match="crate `nothing` does not exist"):
        answer(run, shelved, "api/v1/crates/nothing/owners", {"users": ["ben"]})


@pytest.mark.parametrize("run", [owners.add, owners.remove])
@pytest.mark.parametrize(
    "body",
    [b"", b"no json", [], {}, {"users": "ben"}, {"users": [1]}, {"users": []}, {"users": [" "]}, b'{"users":["\xff"]}'],
)
def test_a_body_that_names_nobody_is_refused(shelved: Shelved, run: Run, body: object) -> None:
    with pytest.raises(Malformed):
        answer(run, shelved, HERE, body)
    assert logins(shelved) == ["anna"]


def test_a_body_has_its_limits(shelved: Shelved) -> None:
    with pytest.raises(Malformed, match="at most 100 owners at once"):
        put(shelved, *(f"x{number}" for number in range(101)))
    with pytest.raises(Malformed, match="at most 200 characters"):
        put(shelved, "x" * 201)
    with pytest.raises(TooLarge):
        put(shelved, "x" * 70_000)


def test_old_clients_say_owners(shelved: Shelved) -> None:
    assert read(answer(owners.add, shelved, HERE, {"owners": ["ben", "ben"]}))["ok"]
    assert logins(shelved) == ["anna", "ben"]


# Against a server


@pytest.fixture(scope="module")
def owned(server: Running) -> Running:
    """The server, with a crate of the administrator's; ann is a user there."""
    assert publish(server, "Owned_Leaf").status == 200
    return server


def _ask(server: Running, method: str, *users: str, at: str = "main") -> Answer:
    sent = json.dumps({"users": users}).encode()
    return ask(server, method, "api/v1/crates/owned-leaf/owners", at=at, sent=sent)


def _logins(server: Running) -> list[str]:
    answer = server.ask("/cargo/main/api/v1/crates/owned_leaf/owners")
    assert answer.status == 200, answer.text
    return [each["login"] for each in json.loads(answer.body)["users"]]


def test_42_a_body_goes_with_delete(owned: Running) -> None:
    added = _ask(owned, "PUT", "ann", "github:org:team")
    assert (added.status, json.loads(added.body)["ok"]) == (200, True)
    assert _logins(owned) == ["admin", "ann", "github:org:team"]
    removed = _ask(owned, "DELETE", "ann", "github:org:team")
    assert (removed.status, json.loads(removed.body)["ok"]) == (200, True)
    assert _logins(owned) == ["admin"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_owners_are_changed_by_those_who_may_publish(owned: Running, method: str) -> None:
    sent = b'{"users":["ann"]}'
    refused = owned.ask("/cargo/main/api/v1/crates/owned-leaf/owners", method=method, body=sent)
    assert refused.status == 401
    assert "credentials are needed" in said(refused)
    assert _logins(owned) == ["admin"]


def test_owners_are_refused_in_cargo_s_words(owned: Running) -> None:
    nobody = _ask(owned, "PUT", "carl")
    assert nobody.status == 400 and "no user 'carl'" in said(nobody)
    last = _ask(owned, "DELETE", "admin", at="local")
    assert last.status == 409 and "add another owner first" in said(last)
    assert _logins(owned) == ["admin"]
