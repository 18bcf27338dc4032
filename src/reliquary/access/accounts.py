"""Changes to users and tokens, with the rules on who may make them."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from reliquary.access import tokens
from reliquary.access.globs import covers
from reliquary.access.may import BY_PACKAGE
from reliquary.access.passwords import Passwords
from reliquary.catalog.engine import Catalog
from reliquary.catalog.records import TokenRow, UserRow
from reliquary.errors import Conflict, Forbidden, Malformed, NotHere, Unauthenticated
from reliquary.types import Action, Actor, Grant, Scope

SHORTEST = 8
LONGEST = 1024
"""Characters of a password."""

ADMIN = "admin"
"""The user that the first start makes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}\Z")


class Accounts:
    """Users and tokens as people and programs change them.

    ``by`` is who asks for the change; a token with scopes cannot touch what it could widen
    itself with. The command line passes an administrator of its own making.
    """

    def __init__(
        self, catalog: Catalog, passwords: Passwords, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._rows = catalog.accounts
        self._passwords = passwords
        self._now = now

    async def create_user(self, by: Actor, name: str, password: str | None = None, *, admin: bool = False) -> UserRow:
        """Add a user; without password only tokens open the account.

        Raises Unauthenticated, Forbidden, Malformed (name or password break the rules), Conflict.
        """
        _only_admin(by)
        if not _NAME.match(name):
            raise Malformed("a user name is of letters, digits and ._@+- and begins with a letter or digit")
        user = UserRow(name, await self._hashed(name, password), self._now(), admin)
        await self._rows.add_user(user)
        return user

    async def change_password(self, by: Actor, name: str, password: str | None) -> None:
        """Set a password, one's own or as administrator; None leaves tokens only.

        Raises Unauthenticated, Forbidden, Malformed, NotHere.
        """
        _only_owner(by, name)
        user = await self._user(name)
        await self._rows.save_user(replace(user, password_hash=await self._hashed(name, password)))

    async def disable_user(self, by: Actor, name: str, *, disabled: bool = True) -> None:
        """Shut an account with all its tokens, or open it again. Raises Forbidden, NotHere, Conflict
        for the last administrator."""
        _only_admin(by)
        if disabled:
            await self._not_the_last(name)
        await self._rows.save_user(replace(await self._user(name), disabled=disabled))

    async def set_admin(self, by: Actor, name: str, *, admin: bool) -> None:
        """Make a user an administrator, or no longer. Raises Forbidden, NotHere, Conflict for the last one."""
        _only_admin(by)
        user = await self._user(name)
        if not admin:
            await self._not_the_last(name)
        await self._rows.save_user(replace(user, admin=admin))

    async def delete_user(self, by: Actor, name: str) -> None:
        """Remove a user with tokens and grants. Raises Forbidden, NotHere, Conflict for the last administrator."""
        _only_admin(by)
        await self._user(name)
        await self._not_the_last(name)
        await self._rows.delete_user(name)

    async def set_grants(self, by: Actor, name: str, grants: Sequence[Grant]) -> None:
        """Make these the user's grants, in place of all others. Raises Forbidden, NotHere."""
        _only_admin(by)
        await self._rows.set_grants(name, grants)

    async def create_token(
        self,
        by: Actor,
        name: str,
        *,
        user: str | None = None,
        scopes: Sequence[Scope] | None = None,
        expires: datetime | None = None,
    ) -> tuple[str, TokenRow]:
        """Make a token; its text, which cannot be had again, and its row.

        Args:
            by: who makes it; a token never gets more than this actor has.
            name: what people call it.
            user: whose it is; None: the maker's.
            scopes: what it may do at most; None: all that its user may.
            expires: when it ends (UTC); None: never.

        Raises:
            Unauthenticated, Forbidden: for more than ``by`` has.
            Malformed: for an end that is past, or no scope at all.
            NotHere: when there is no such user.
        """
        owner = user or by.name or ""
        if by.name is None or owner != by.name:
            _only_owner(by, owner)
        if expires is not None and expires <= self._now():
            raise Malformed("the token would have expired already")
        if scopes is not None and not scopes:
            raise Malformed("a token needs at least one scope")
        await self._within(by, scopes, expires)
        text, digest = tokens.mint()
        kept = None if scopes is None else tuple(scopes)
        row = TokenRow(name, owner, digest, text[: tokens.SHOWN], self._now(), kept, expires)
        return text, await self._rows.add_token(row)

    async def revoke_token(self, by: Actor, token_id: int) -> None:
        """End a token: one's own, the very one that is used, or any as administrator.

        Raises Unauthenticated, Forbidden, NotHere.
        """
        found = next((each for each in (await self._rows.snapshot()).tokens if each.id == token_id), None)
        if by.token_id is None or by.token_id != token_id:
            _only_owner(by, found.user if found else "")
        if found is None or not await self._rows.revoke_token(token_id):
            raise NotHere("there is no such token, or it was revoked before")

    async def ensure_admin(self, folder: Path) -> Path | None:
        """At the first start: a user ``admin`` and its token in ``folder/admin.token``, for the owner's eyes.

        Does nothing, and returns None, when there are users. A start that was killed half-way
        is made good by the next one.
        """
        snapshot = await self._rows.snapshot()
        begun = [(user.name, user.admin, user.password_hash) for user in snapshot.users]
        if begun not in ([], [(ADMIN, True, None)]) or snapshot.tokens:
            return None
        text, digest = tokens.mint()
        path = folder / "admin.token"
        await asyncio.to_thread(_write_secret, path, text)
        if not begun:
            await self._rows.add_user(UserRow(ADMIN, None, self._now(), admin=True))
        await self._rows.add_token(TokenRow("first start", ADMIN, digest, text[: tokens.SHOWN], self._now()))
        return path

    async def _not_the_last(self, name: str) -> None:
        """Raises Conflict when no other open account is an administrator's: nobody could undo it."""
        users = (await self._rows.snapshot()).users
        admins = {user.name for user in users if user.admin and not user.disabled}
        if admins == {name}:
            raise Conflict(f"{name} is the last administrator")

    async def _user(self, name: str) -> UserRow:
        for user in (await self._rows.snapshot()).users:
            if user.name == name:
                return user
        raise NotHere(f"there is no user {name}")

    async def _hashed(self, name: str, password: str | None) -> str | None:
        if password is None:
            return None
        check_password(name, password)
        return await self._passwords.hash(password)

    async def _within(self, by: Actor, scopes: Sequence[Scope] | None, expires: datetime | None) -> None:
        """Raises Forbidden when a token would outdo the token that makes it."""
        if by.scopes is not None and (scopes is None or not all(_covered(scope, by.scopes) for scope in scopes)):
            raise Forbidden("a token cannot make one that may do more than itself")
        if by.token_id is None:
            return
        maker = next((each for each in (await self._rows.snapshot()).tokens if each.id == by.token_id), None)
        if maker is None:
            raise Conflict("the token in use is gone")
        if maker.expires is not None and (expires is None or expires > maker.expires):
            raise Forbidden(f"a token cannot make one that outlives itself: it ends {maker.expires:%Y-%m-%d %H:%M} UTC")


def check_password(name: str, password: str) -> None:
    """Raises Malformed for a password that breaks the rules, saying which."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Malformed(f"a password has {SHORTEST} to {LONGEST} characters")
    if password.casefold() == name.casefold():
        raise Malformed("a password must not be the user's name")
    if password.startswith(tokens.PREFIX):
        raise Malformed(f"a password must not begin like a token ({tokens.PREFIX})")


def _only_owner(by: Actor, name: str) -> None:
    if by.name is None:
        raise Unauthenticated("credentials are needed to change accounts")
    if by.scopes is not None or not (by.admin or by.name == name):
        raise Forbidden(f"{by.name} may not change this account")


def _only_admin(by: Actor) -> None:
    _only_owner(by, by.name or "")
    if not by.admin:
        raise Forbidden(f"{by.name} is no administrator")


def _covered(scope: Scope, by: Sequence[Scope]) -> bool:
    return all(
        any(_includes(each, action, repository, package) for each in by)
        for action in scope.actions
        for repository in scope.repositories
        for package in scope.packages
    )


def _includes(scope: Scope, action: Action, repository: str, package: str) -> bool:
    return (
        action in scope.actions
        and any(covers(glob, repository) for glob in scope.repositories)
        and (action not in BY_PACKAGE or any(covers(glob, package) for glob in scope.packages))
    )


def _write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole and on the disk before this returns."""
    # What lies here is the leaving of a start that was killed: its token was never stored.
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
