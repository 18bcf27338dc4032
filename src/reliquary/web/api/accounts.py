"""Users, grants and tokens through the API."""

from __future__ import annotations

from datetime import UTC, datetime

from reliquary.access import declared, spans
from reliquary.access.tokens import format_scope, parse_scope
from reliquary.catalog.records import AccountsSnapshot, TokenRow, UserRow
from reliquary.errors import Forbidden, Malformed, NotHere
from reliquary.types import Action, Grant
from reliquary.web.api import operations
from reliquary.web.api.models import (
    GrantShown,
    GrantsNew,
    TokenMade,
    TokenNew,
    TokenShown,
    UserChange,
    UserNew,
    UserShown,
    Whoami,
)
from reliquary.web.api.operations import Ask, Made, Operation


async def whoami(ask: Ask) -> Whoami:
    """Who the server takes the caller for."""
    actor = ask.actor
    scopes = None if actor.scopes is None else [format_scope(scope) for scope in actor.scopes]
    return Whoami(user=actor.name, admin=actor.admin, token_id=actor.token_id, scopes=scopes)


async def _snapshot(ask: Ask) -> AccountsSnapshot:
    return await ask.state.context.catalog.accounts.snapshot()


def _user(ask: Ask, user: UserRow) -> UserShown:
    return UserShown(
        name=user.name,
        admin=user.admin,
        disabled=user.disabled,
        password=user.password_hash is not None,
        created=user.created,
        declared=declared.user(ask.settings, user.name),
    )


def _own_or_admin(ask: Ask, name: str) -> None:
    """Raises unless the caller asks about their own account or is an administrator."""
    if operations.require_known(ask) != name:
        operations.require_admin(ask)


async def users(ask: Ask) -> list[UserShown]:
    """Every user for administrators, oneself for others."""
    name = operations.require_known(ask)
    every = operations.is_admin(ask.actor)
    return [_user(ask, user) for user in (await _snapshot(ask)).users if every or user.name == name]


async def user(ask: Ask) -> UserShown:
    """One user."""
    name = ask.path["user"]
    _own_or_admin(ask, name)
    for found in (await _snapshot(ask)).users:
        if found.name == name:
            return _user(ask, found)
    raise NotHere(f"there is no user {name}")


async def add_user(ask: Ask) -> Made:
    """Make a user."""
    operations.require_admin(ask)
    wanted: UserNew = ask.body
    made = await ask.accounts.create_user(ask.actor, wanted.name, wanted.password, admin=wanted.admin)
    await ask.state.settle()
    return Made(_user(ask, made), f"/users/{made.name}")


async def change_user(ask: Ask) -> UserShown:
    """Change a user; those who are no administrators their own password only."""
    name, sent = ask.path["user"], ask.raw
    _own_or_admin(ask, name)
    if {*sent} - {"password"}:
        operations.require_admin(ask)
    declared.refuse_user(ask.settings, name)
    if "password" in sent:
        await ask.accounts.change_password(ask.actor, name, ask.body.password)
    if "admin" in sent:
        await ask.accounts.set_admin(ask.actor, name, admin=ask.body.admin)
    if "disabled" in sent:
        await ask.accounts.disable_user(ask.actor, name, disabled=ask.body.disabled)
    await ask.state.settle()
    return await user(ask)


async def delete_user(ask: Ask) -> None:
    """Delete a user with tokens and grants."""
    operations.require_admin(ask)
    declared.refuse_user(ask.settings, ask.path["user"])
    await ask.accounts.delete_user(ask.actor, ask.path["user"])
    await ask.state.settle()


def _grant(ask: Ask, grant: Grant) -> GrantShown:
    return GrantShown(
        user=grant.user,
        repositories=grant.repositories,
        actions=sorted(grant.actions),
        packages=grant.packages,
        declared=declared.grants(ask.settings, grant.user),
    )


async def grants(ask: Ask) -> list[GrantShown]:
    """Every grant for administrators, one's own for others."""
    name = operations.require_known(ask)
    every = operations.is_admin(ask.actor)
    return [_grant(ask, grant) for grant in (await _snapshot(ask)).grants if every or grant.user == name]


async def user_grants(ask: Ask) -> list[GrantShown]:
    """The grants of one user."""
    name = (await user(ask)).name
    return [_grant(ask, grant) for grant in (await _snapshot(ask)).grants if grant.user == name]


async def set_grants(ask: Ask) -> list[GrantShown]:
    """Replace the grants of one user."""
    operations.require_admin(ask)
    name = ask.path["user"]
    declared.refuse_grants(ask.settings, name)
    wanted: GrantsNew = ask.body
    rows = [
        Grant(name, each.repositories, frozenset(map(Action, each.actions)), each.packages) for each in wanted.grants
    ]
    await ask.accounts.set_grants(ask.actor, name, rows)
    await ask.state.settle()
    return await user_grants(ask)


def _token(token: TokenRow) -> TokenShown:
    return TokenShown(
        id=token.id,
        name=token.name,
        user=token.user,
        begins=token.prefix,
        scopes=None if token.scopes is None else [format_scope(scope) for scope in token.scopes],
        created=token.created,
        expires=token.expires,
        last_used=token.last_used,
        revoked=token.revoked,
    )


async def tokens(ask: Ask) -> list[TokenShown]:
    """Every token for administrators, one's own for others."""
    name = operations.require_known(ask)
    every, wanted = operations.is_admin(ask.actor), ask.query.get("user")
    found = [token for token in (await _snapshot(ask)).tokens if every or token.user == name]
    return [_token(token) for token in found if wanted in (None, token.user)]


async def add_token(ask: Ask) -> Made:
    """Make a token; its text is shown this once."""
    wanted: TokenNew = ask.body
    if wanted.user not in (None, operations.require_known(ask)) and not operations.is_admin(ask.actor):
        raise Forbidden("only administrators make tokens for others")
    scopes = None if wanted.scopes is None else [parse_scope(text) for text in wanted.scopes]
    text, row = await ask.accounts.create_token(
        ask.actor, wanted.name, user=wanted.user, scopes=scopes, expires=_end(ask, wanted)
    )
    await ask.state.settle()
    return Made(TokenMade(token=text, **_token(row).model_dump()), f"/tokens/{row.id}")


def _end(ask: Ask, wanted: TokenNew) -> datetime | None:
    if wanted.expires is not None and wanted.expires_in is not None:
        raise Malformed("expires and expires_in exclude each other")
    if wanted.expires_in is not None:
        return spans.end(wanted.expires_in, ask.state.context.now())
    try:
        return wanted.expires.astimezone(UTC) if wanted.expires else None
    except OverflowError:
        raise Malformed("expires is no time that can be kept") from None


async def revoke_token(ask: Ask) -> None:
    """End a token at once."""
    operations.require_known(ask)
    await ask.accounts.revoke_token(ask.actor, operations.number(ask.path["id"], "token"))
    await ask.state.settle()


OPERATIONS = (
    Operation("GET", "/whoami", "Say who the caller is", whoami, Whoami),
    Operation("GET", "/users", "List users", users, list[UserShown]),
    Operation("POST", "/users", "Make a user", add_user, UserShown, status=201, body=UserNew),
    Operation("GET", "/users/{user}", "Show a user", user, UserShown),
    Operation("PATCH", "/users/{user}", "Change a user", change_user, UserShown, body=UserChange),
    Operation("DELETE", "/users/{user}", "Delete a user with tokens and grants", delete_user, status=204),
    Operation("GET", "/users/{user}/grants", "List the grants of a user", user_grants, list[GrantShown]),
    Operation(
        "PUT", "/users/{user}/grants", "Replace the grants of a user", set_grants, list[GrantShown], body=GrantsNew
    ),
    Operation("GET", "/grants", "List grants", grants, list[GrantShown]),
    Operation("GET", "/tokens", "List tokens", tokens, list[TokenShown], query={"user": "only this user's"}),
    Operation("POST", "/tokens", "Make a token, shown this once", add_token, TokenMade, status=201, body=TokenNew),
    Operation("DELETE", "/tokens/{id}", "End a token", revoke_token, status=204),
)
