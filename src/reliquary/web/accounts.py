"""Who asks, and their tokens, as the verbs of formats see them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from reliquary.access import tokens
from reliquary.access.accounts import Accounts
from reliquary.access.logins import Logins
from reliquary.catalog.records import TokenRow
from reliquary.errors import Conflict, Forbidden, Malformed, NotHere, Unauthenticated
from reliquary.formats.verbs import TokenFacts, UserFacts, WebLogin
from reliquary.types import Action, Actor, Scope
from reliquary.web.state import State

PAGE = "login/"
"""Where the pages of pending logins are, below the server's address."""
LEAST = 6
"""Signs of a key that name a token, if no other one begins so."""
READONLY = (Scope(frozenset({Action.READ})),)
NOBODY = "nobody is logged in; send credentials, or log in first"
WRONG = (
    "the user name or the password is wrong. Accounts are made by the administrator of this server, not by logging "
    "in; one without a password is opened by its tokens only"
)


class WebAccounts:
    """Implements `reliquary.formats.verbs.Accounts` for one request.

    Args:
        actor: who asks.
        origin: absolute address of the server as the client addressed it, with a final slash.
        refused: what was wrong with the credentials, where the request goes on without them.
    """

    def __init__(self, state: State, actor: Actor, origin: str, refused: Unauthenticated | None = None) -> None:
        self._state = state
        self._actor = actor
        self._origin = origin
        self._refused = refused

    @property
    def name(self) -> str | None:
        return self._actor.name

    def known(self) -> str:
        if self._actor.name is None:
            raise self._refused or Unauthenticated(NOBODY)
        return self._actor.name

    async def login(self, user: str, password: str, title: str) -> str:
        return await self._mint(await self._prove(user, password), title)

    async def user(self, name: str) -> UserFacts:
        self.known()
        snapshot = await self._state.context.catalog.accounts.snapshot()
        for found in snapshot.users:
            if found.name == name:
                return UserFacts(found.name, found.created)
        raise NotHere(f"there is no user {name[:128]}")

    async def tokens(self) -> Sequence[TokenFacts]:
        return [_facts(row) for row in reversed(await self._rows())]

    async def create(
        self, password: str, title: str, *, readonly: bool = False, days: int | None = None
    ) -> tuple[str, TokenFacts]:
        name = self.known()
        await self._prove(name, password)
        try:
            expires = None if days is None else self._state.context.now() + timedelta(days=days)
        except OverflowError:
            raise Malformed("the token's end is too far away; leave it out for a token without an end") from None
        scopes = READONLY if readonly else None
        text, row = await self._changes().create_token(self._actor, title, scopes=scopes, expires=expires)
        await self._state.settle()
        return text, _facts(row)

    async def revoke(self, key: str) -> None:
        self.known()
        row = _named(await self._rows(), key)
        await self._changes().revoke_token(self._actor, row.id)
        await self._state.settle()

    async def begin_web_login(self, title: str) -> WebLogin:
        page, secret = await self._logins().begin(title)
        return WebLogin(f"{self._origin}{PAGE}{page}", secret)

    async def web_login(self, secret: str) -> str | None:
        taken = await self._logins().take(secret)
        if taken is None:
            return None
        name, title = taken
        users = (await self._state.context.catalog.accounts.snapshot()).users
        user = next((each for each in users if each.name == name and not each.disabled), None)
        if user is None:
            raise Forbidden(f"the account {name} was shut meanwhile")
        return await self._mint(Actor(user.name, user.admin), title)

    async def _prove(self, name: str, password: str) -> Actor:
        try:
            return await self._state.access.login(name, password)
        except Unauthenticated:
            raise Unauthenticated(WRONG) from None

    async def _mint(self, actor: Actor, title: str) -> str:
        text, _ = await self._changes().create_token(actor, f"login by {title}")
        await self._state.settle()
        return text

    async def _rows(self) -> list[TokenRow]:
        """The asker's tokens that are good, oldest first."""
        name, now = self.known(), self._state.context.now()
        rows = (await self._state.context.catalog.accounts.snapshot()).tokens
        return [each for each in rows if each.user == name and not each.revoked and not _past(each, now)]

    def _changes(self) -> Accounts:
        return Accounts(self._state.context.catalog, self._state.access.passwords, self._state.context.now)

    def _logins(self) -> Logins:
        return Logins(self._state.context.catalog.logins, self._state.context.now)


def _past(row: TokenRow, now: datetime) -> bool:
    return row.expires is not None and row.expires <= now


def _key(row: TokenRow) -> str:
    """As long for every token: clients take a key for the beginning of longer ones."""
    return hashlib.sha256(f"key {row.hash}".encode()).hexdigest()[:32]


def _facts(row: TokenRow) -> TokenFacts:
    return TokenFacts(
        key=_key(row),
        title=row.name,
        prefix=row.prefix,
        readonly=row.scopes is not None and all(scope.actions <= {Action.READ} for scope in row.scopes),
        created=row.created,
        last_used=row.last_used,
        expires=row.expires,
    )


def _named(rows: Sequence[TokenRow], key: str) -> TokenRow:
    """The one token with this secret or key, or with one that begins so. Raises NotHere, Conflict."""
    if tokens.is_token(key):
        digest = tokens.digest(key)
        found = [row for row in rows if row.hash == digest]
    elif len(key) < LEAST:
        found = []
    else:
        found = [row for row in rows if _key(row).startswith(key) or _begins(row, key)]
    if len(found) > 1:
        raise Conflict("several tokens begin so; give the whole key, as the list of tokens shows it")
    if not found:
        raise NotHere("you have no such token, or it was revoked before")
    return found[0]


def _begins(row: TokenRow, text: str) -> bool:
    return len(text) > len(tokens.PREFIX) and row.prefix.startswith(text)
