"""Owners of a crate: users of this server, and teams by name (The Cargo Book, "Web API", Owners).

A fact ``owner:{login}`` on the package is an owner; its value is "" for a user, "team" for a team.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import orjson

from reliquary.errors import Conflict, Malformed, NotHere
from reliquary.formats.cargo import names, views
from reliquary.formats.verbs import Incoming, Reply, Shelf

OWNER = "owner:"
USER, TEAM = "user", "team"
LARGEST = 65_536
"""Bytes of a question."""
MOST = 100
"""Owners in one question."""

_TEAM = re.compile(r"[\w.-]{1,64}(?::[\w.-]{1,64}){1,2}", re.ASCII)
"""``github:org:team``, ``ldap:team``: kept as it is; no forge is asked."""


def facts(logins: Sequence[str]) -> dict[str, str]:
    """Facts that make users owners, as for who publishes a crate first."""
    return {OWNER + login: "" for login in logins}


def listed(known: Mapping[str, str], kind: str | None = None) -> list[views.Shown]:
    """Owners as clients read them, users before teams, by login.

    Args:
        known: the facts on a crate.
        kind: only users, or only teams.
    """
    owners = {fact.removeprefix(OWNER): value or USER for fact, value in known.items() if fact.startswith(OWNER)}
    ordered = sorted(owners.items(), key=lambda each: (each[1] == TEAM, each[0]))
    return [views.person(login, what) for login, what in ordered if kind in (None, what)]


async def owners(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``api/v1/crates/{crate}/owners``: users and teams. Raises NotHere."""
    return views.reply({"users": listed((await views.find(incoming, shelf)).facts)})


async def owner_user(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``api/v1/crates/{crate}/owner_user``: users alone. Raises NotHere."""
    return views.reply({"users": listed((await views.find(incoming, shelf)).facts, USER)})


async def owner_team(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``api/v1/crates/{crate}/owner_team``: teams alone. Raises NotHere."""
    return views.reply({"teams": listed((await views.find(incoming, shelf)).facts, TEAM)})


async def add(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``api/v1/crates/{crate}/owners`` with ``{"users": [login, ...]}``: owners more, all of them or none.

    Raises:
        NotHere: there is no such crate.
        Malformed: a login is neither a user here nor written like a team.
    """
    crate = await views.find(incoming, shelf)
    logins = await _logins(incoming)
    values: dict[str, str | None] = {}
    for login in logins:
        if OWNER + login not in crate.facts:
            values[OWNER + login] = await _kind(incoming, login)
    if not values:
        return _done(f"{_several(logins, 'is', 'are')} already among the owners of crate {crate.name}")
    await shelf.set_properties(names.normal(crate.name), values)
    added = [fact.removeprefix(OWNER) for fact in values]
    return _done(f"{_several(added, 'has', 'have')} been added to the owners of crate {crate.name}")


async def remove(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``api/v1/crates/{crate}/owners`` with ``{"users": [login, ...]}``: owners less, all of them or none.

    Raises:
        NotHere: there is no such crate, or one of them owns it not.
        Conflict: no user would be left; teams do not count, since nobody here acts for them.
    """
    crate = await views.find(incoming, shelf)
    logins = await _logins(incoming)
    for login in logins:
        if OWNER + login not in crate.facts:
            raise NotHere(f"{names.shown(login)} is not an owner of crate `{crate.name}`")
    left = {person["login"] for person in listed(crate.facts, USER)} - set(logins)
    if not left:
        raise _last(crate)
    gone = {OWNER + login: crate.facts[OWNER + login] for login in logins}
    await shelf.set_properties(names.normal(crate.name), dict.fromkeys(gone))
    if not listed(await shelf.properties(crate.name), USER):
        # Two who owned it were removed at once, each in sight of the other.
        await shelf.set_properties(names.normal(crate.name), gone)
        raise _last(crate)
    return _done(f"{_several(logins, 'has', 'have')} been removed from the owners of crate {crate.name}")


def _last(crate: views.Crate) -> Conflict:
    return Conflict(f"crate `{crate.name}` would be left without a user who owns it; add another owner first")


async def _logins(incoming: Incoming) -> list[str]:
    """The logins of a question, each once; raises Malformed. Old clients call the member ``owners``."""
    try:
        body = orjson.loads(await incoming.body(LARGEST))
    except orjson.JSONDecodeError:
        body = None
    found = body.get("users", body.get("owners")) if isinstance(body, dict) else None
    if not isinstance(found, list) or not all(isinstance(login, str) for login in found):
        raise Malformed('send the owners as JSON: {"users": ["anna"]}')
    logins = list(dict.fromkeys(login.strip() for login in found))
    if not logins or not all(logins):
        raise Malformed('name at least one owner, and none by an empty text: {"users": ["anna"]}')
    if len(logins) > MOST or any(len(login) > 200 for login in logins):
        raise Malformed(f"name at most {MOST} owners at once, each in at most 200 characters")
    return logins


async def _kind(incoming: Incoming, login: str) -> str:
    """The value of an owner's fact; raises Malformed for who is not known."""
    if ":" in login:
        if _TEAM.fullmatch(login):
            return TEAM
        raise Malformed(f"{names.shown(login)} is not written like a team, such as github:organisation:team")
    try:
        await incoming.accounts.user(login)
    except NotHere:
        raise Malformed(
            f"there is no user {names.shown(login)} here; ask the administrator for an account, or name a team as "
            "github:organisation:team"
        ) from None
    return ""


def _several(logins: Sequence[str], one: str, more: str) -> str:
    return f"{', '.join(logins)} {one if len(logins) == 1 else more}"


def _done(words: str) -> Reply:
    """cargo reads no answer without both members."""
    return views.reply({"ok": True, "msg": words})
