"""What npm asks below ``/-/``: which question goes where."""

from __future__ import annotations

from reliquary.errors import NotHere
from reliquary.formats.base import Call, Match
from reliquary.formats.npm import accounts, audit, change, keys, names, search, signatures, tags, views
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.types import Action

READ, PUBLISH = Action.READ, Action.PUBLISH


def match(method: str, parts: list[str]) -> Match | None:
    """Map what stands behind ``/-/``."""
    reading = method in ("GET", "HEAD")
    match parts:
        case ["npm", "v1", "attestations", *rest] if rest and reading:
            return keys.attestations(rest)
        case ["package", *rest] if rest:
            return _package(method, rest)
        case ["all", *_] if reading:
            return Call(READ, _no_dump)
    return _account(method, parts) or (_reads(parts) if reading else _posts(method, parts))


def _account(method: str, parts: list[str]) -> Call | None:
    """Logins, tokens and profiles: they need no right to anything that is in the repository."""
    run = None
    match (method, *parts):
        case ("PUT", "user", who) | ("PUT", "user", who, "-rev", _) if who.startswith(accounts.USER):
            run = accounts.login
        case ("GET", "user", who) if who.startswith(accounts.USER):
            run = accounts.user
        case ("DELETE", "user", "token", _):
            run = accounts.logout
        case ("GET", "whoami"):
            run = accounts.whoami
        case ("GET", "npm", "v1", "user"):
            run = accounts.profile
        case ("POST", "npm", "v1", "user"):
            run = accounts.set_profile
        case ("GET", "npm", "v1", "tokens"):
            run = accounts.tokens
        case ("POST", "npm", "v1", "tokens"):
            run = accounts.create_token
        case ("DELETE", "npm", "v1", "tokens", "token", _):
            run = accounts.revoke_token
        case ("POST", "v1", "login"):
            run = accounts.begin
        case ("GET", "v1", "done", _):
            run = accounts.done
    return Call(READ, run, open=True) if run is not None else None


def _reads(parts: list[str]) -> Call | None:
    match parts:
        case ["ping"]:
            return Call(READ, views.ping, open=True)
        case ["v1", "search"]:
            return Call(READ, search.search)
        case ["npm", "v1", "keys"]:
            return Call(READ, signatures.keys)
    return None


def _posts(method: str, parts: list[str]) -> Call | None:
    if method != "POST":
        return None
    match parts:
        case ["npm", "v1", "security", "advisories", "bulk"]:
            return Call(READ, audit.bulk)
        case ["npm", "v1", "security", "audits"] | ["npm", "v1", "security", "audits", "quick"]:
            return Call(READ, audit.quick)
    return None


def _package(method: str, parts: list[str]) -> Call | None:
    """``/-/package/{package}/...``."""
    name, rest = keys.split_name(parts)
    if not names.valid(name):
        return None
    reading = method in ("GET", "HEAD")
    match rest:
        case ["dist-tags"]:
            if reading:
                return Call(READ, tags.list_all, name=name, scope=name)
            return Call(PUBLISH, tags.put_all, name=name, scope=name) if method in ("PUT", "POST") else None
        case ["dist-tags", *tag] if tag and method in ("PUT", "POST"):
            return Call(PUBLISH, tags.put, name=name, scope=name)
        case ["dist-tags", *tag] if tag and method == "DELETE":
            return Call(PUBLISH, tags.delete, name=name, scope=name)
        case ["owners"] if method == "PUT":
            return Call(PUBLISH, change.put_owner, name=name, scope=name)
        case ["owners", _] if method == "DELETE":
            return Call(PUBLISH, change.delete_owner, name=name, scope=name)
        case ["collaborators"] if reading:
            return Call(READ, views.collaborators, name=name, scope=name)
        case ["visibility"] if reading:
            return Call(READ, views.visibility, name=name, scope=name)
        case ["access"] if method == "POST":
            return Call(Action.ADMIN, views.access, name=name, scope=name)
    return None


async def _no_dump(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``/-/all``: clients from before 2017 read the whole index so."""
    raise NotHere("there is no dump of all packages; ask /-/v1/search?text=...")
