"""Owners: users of this server and teams by name. Numbers in names are items of cargo.md, section 8."""

from __future__ import annotations

from typing import Any

import pytest

from reliquary.errors import Conflict, Malformed, NotHere, TooLarge, Unauthenticated
from reliquary.formats.cargo import owners
from tests.formats.cargo.fakes import Run, Shelved, Who, answer, read

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
