"""Accounts: users, their tokens, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from reliquary.catalog.database import AnyRow, Topic, table, unbroken
from reliquary.catalog.recording import outdate_groups, record_configuration
from reliquary.catalog.records import AccountsSnapshot, TokenRow, UserRow
from reliquary.catalog.tables import GrantRow, Token, User
from reliquary.errors import Conflict, NotHere
from reliquary.types import Action, Grant, Scope

USER = ("name", "password_hash", "admin", "disabled", "created")
TOKEN = ("name", "user", "hash", "prefix", "expires", "last_used", "created", "revoked")


def _user_columns(user: UserRow) -> dict[str, Any]:
    return {name: getattr(user, name) for name in USER}


def _scope_json(scope: Scope) -> dict[str, Any]:
    return {
        "actions": sorted(action.value for action in scope.actions),
        "repositories": list(scope.repositories),
        "packages": list(scope.packages),
    }


def _scope(value: Mapping[str, Any]) -> Scope:
    return Scope(_actions(value["actions"]), tuple(value["repositories"]), tuple(value["packages"]))


def _actions(names: Sequence[str]) -> frozenset[Action]:
    return frozenset(Action(name) for name in names)


def _token_columns(token: TokenRow) -> dict[str, Any]:
    scopes = None if token.scopes is None else [_scope_json(scope) for scope in token.scopes]
    return {"scopes": scopes, **{name: getattr(token, name) for name in TOKEN}}


def _token(row: AnyRow) -> TokenRow:
    scopes = None if row.scopes is None else tuple(_scope(scope) for scope in row.scopes)
    return TokenRow(id=row.id, scopes=scopes, **{name: getattr(row, name) for name in TOKEN})


def _user(row: AnyRow) -> UserRow:
    return UserRow(**{name: getattr(row, name) for name in USER})


def _grant(row: AnyRow) -> Grant:
    return Grant(row.user, row.repositories, _actions(row.actions), row.packages)


class Accounts(Topic):
    """Users, tokens and grants. Every change but last-used times is a change of configuration."""

    async def snapshot(self) -> AccountsSnapshot:
        """All of it, for a decision without a query."""
        async with self._database.reading() as connection:
            users = await connection.execute(select(table(User)).order_by(User.name))
            tokens = await connection.execute(select(table(Token)).order_by(Token.id))
            grants = await connection.execute(select(table(GrantRow)).order_by(GrantRow.id))
        return AccountsSnapshot(tuple(map(_user, users)), tuple(map(_token, tokens)), tuple(map(_grant, grants)))

    @unbroken
    async def add_user(self, user: UserRow) -> None:
        """Add a user. Raises Conflict when the name is taken."""
        try:
            async with self._database.writing() as connection:
                await connection.execute(insert(table(User)).values(**_user_columns(user)))
                await record_configuration(connection)
        except IntegrityError as error:
            raise Conflict(f"there is a user {user.name} already") from error

    @unbroken
    async def save_user(self, user: UserRow) -> None:
        """Write a user. Raises NotHere."""
        async with self._database.writing() as connection:
            statement = update(User).where(User.name == user.name).values(**_user_columns(user))
            if (await connection.execute(statement)).rowcount == 0:
                raise NotHere(f"there is no user {user.name}")
            await record_configuration(connection)
            await outdate_groups(connection)

    @unbroken
    async def delete_user(self, name: str) -> None:
        """Remove a user with tokens and grants. Raises NotHere."""
        async with self._database.writing() as connection:
            if (await connection.execute(delete(User).where(User.name == name))).rowcount == 0:
                raise NotHere(f"there is no user {name}")
            await record_configuration(connection)
            await outdate_groups(connection)

    @unbroken
    async def add_token(self, token: TokenRow) -> TokenRow:
        """Add a token; returns it with its id. Raises NotHere when there is no such user."""
        try:
            async with self._database.writing() as connection:
                statement = insert(table(Token)).values(**_token_columns(token)).returning(Token.id)
                number = (await connection.execute(statement)).scalar_one()
                await record_configuration(connection)
        except IntegrityError as error:
            raise NotHere(f"there is no user {token.user}") from error
        return replace(token, id=number)

    @unbroken
    async def revoke_token(self, token_id: int, at: datetime | None = None) -> bool:
        """Make a token invalid from now on (or ``at``, UTC); False when it was so or is not there."""
        statement = update(Token).where(Token.id == token_id, Token.revoked.is_(None))
        async with self._database.writing() as connection:
            result = await connection.execute(statement.values(revoked=at or datetime.now(UTC)))
            if result.rowcount:
                await record_configuration(connection)
        return result.rowcount > 0

    @unbroken
    async def set_grants(self, user: str, grants: Sequence[Grant]) -> None:
        """Make these the user's grants, in place of all others. Raises NotHere."""
        rows = [
            {
                "user": user,
                "repositories": grant.repositories,
                "packages": grant.packages,
                "actions": sorted(action.value for action in grant.actions),
            }
            for grant in grants
        ]
        async with self._database.writing() as connection:
            if await connection.scalar(select(User.name).where(User.name == user)) is None:
                raise NotHere(f"there is no user {user}")
            await connection.execute(delete(GrantRow).where(GrantRow.user == user))
            if rows:
                await connection.execute(insert(table(GrantRow)), rows)
            await record_configuration(connection)
            await outdate_groups(connection)

    @unbroken
    async def token_used(self, stamps: Mapping[int, datetime]) -> None:
        """Write last-used times (UTC) by token id; no process has to forget anything for it."""
        if not stamps:
            return
        tokens = table(Token)
        statement = update(tokens).where(tokens.c.id == bindparam("of")).values(last_used=bindparam("at"))
        async with self._database.writing() as connection:
            await connection.execute(statement, [{"of": token, "at": at} for token, at in stamps.items()])
