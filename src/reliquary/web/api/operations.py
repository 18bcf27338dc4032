"""What an operation of the API is: one row of the table that routes and the OpenAPI document are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from reliquary.access.accounts import Accounts
from reliquary.errors import Forbidden, Malformed, NotHere, Unauthenticated
from reliquary.repositories.base import Repository
from reliquary.settings import Settings
from reliquary.types import Action, Actor, RepositorySpec
from reliquary.web.state import State

LARGEST_ID = 2**63 - 1


class Invalid(Malformed):
    """The body is JSON that does not fit the schema."""

    status = 422
    code = "invalid"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to an operation, with who asks.

    Args:
        origin: absolute address of the server as the client addressed it, with a final slash.
        body: the body as the operation's model, None where it takes none.
        raw: the same body as plain values, with only what was sent.
    """

    state: State
    settings: Settings
    accounts: Accounts
    actor: Actor
    origin: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """An answer with a Location: a path below ``/api/v1``."""

    value: Any
    location: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path below ``/api/v1``.

    Args:
        answer: the type of what ``run`` returns, or None for an answer without body.
        body: the model of the request body, or None.
        query: names of query parameters with what they mean.
    """

    method: str
    path: str
    summary: str
    run: Callable[[Ask], Awaitable[Any]]
    answer: Any = None
    status: int = 200
    body: type[BaseModel] | None = None
    query: Mapping[str, str] = field(default_factory=dict)


def is_admin(actor: Actor) -> bool:
    """Whether the actor may administer the server: an administrator, whose token says so for all."""
    if actor.scopes is None:
        return actor.admin
    return actor.admin and any(Action.ADMIN in scope.actions and "*" in scope.repositories for scope in actor.scopes)


def require_known(ask: Ask) -> str:
    """The caller's name; raises Unauthenticated."""
    if ask.actor.name is None:
        raise Unauthenticated("credentials are needed here")
    return ask.actor.name


def require_admin(ask: Ask) -> None:
    """Raises Unauthenticated, Forbidden unless the caller may administer the server."""
    name = require_known(ask)
    if not is_admin(ask.actor):
        raise Forbidden(f"{name} is no administrator, or the token is not for that")


def may_change(ask: Ask, spec: RepositorySpec) -> bool:
    """Whether the caller may change the repository's configuration."""
    return ask.actor.admin and ask.state.access.may(ask.actor, Action.ADMIN, spec)


def require_change(ask: Ask, spec: RepositorySpec) -> None:
    """Raises Unauthenticated, Forbidden unless the caller may change the repository's configuration."""
    name = require_known(ask)
    if not may_change(ask, spec):
        raise Forbidden(f"{name} may not configure {spec.title}")


def repository(ask: Ask) -> Repository:
    """The repository that the path names, which the caller may read; raises NotHere, Unauthenticated, Forbidden."""
    found = ask.state.estate.get(ask.path["format"], ask.path["name"])
    if found is None:
        raise NotHere(f"there is no repository {ask.path['format']}/{ask.path['name']}")
    ask.state.access.require(ask.actor, Action.READ, found.spec)
    return found


def number(text: str, what: str) -> int:
    """An id from a path; raises NotHere for what no id can be."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > LARGEST_ID:
        raise NotHere(f"there is no such {what}")
    return int(text)


def limit(ask: Ask, most: int) -> int:
    """How many items the query asks for, at most ``most``; raises Malformed."""
    text = ask.query.get("limit", str(most))
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < 1:
        raise Malformed("limit must be a whole number above 0")
    return min(int(text), most)
