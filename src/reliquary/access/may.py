"""Who asks, and what they may do: one immutable snapshot of users, tokens, grants, repositories.

A change makes a new snapshot; nothing here does I/O except the password check.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from reliquary.access import tokens
from reliquary.access.globs import matches
from reliquary.access.passwords import Passwords
from reliquary.catalog.records import AccountsSnapshot, TokenRow, UserRow
from reliquary.errors import Forbidden, Unauthenticated
from reliquary.types import Action, Actor, Grant, RepositorySpec, Scope

LONGEST = 8192
"""Characters of an Authorization header that are looked at; a longer one is refused."""

LONGEST_NAME = 128
"""Characters of a user's name."""

WRONG = "the user name or the password is wrong"
BY_PACKAGE = frozenset({Action.PUBLISH, Action.DELETE})
"""The actions that package patterns bind."""


class Access:
    """The rights of one moment.

    Args:
        accounts: users, tokens and grants.
        repositories: every repository.
        passwords: checks passwords; shared by all snapshots of a process.
        now: the time (UTC) that expiry is measured by.
    """

    def __init__(
        self,
        accounts: AccountsSnapshot,
        repositories: Sequence[RepositorySpec],
        passwords: Passwords | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._users: Mapping[str, UserRow] = {user.name: user for user in accounts.users}
        self._tokens: Mapping[str, TokenRow] = {token.hash: token for token in accounts.tokens}
        self._grants: dict[str, list[Grant]] = {}
        for grant in accounts.grants:
            self._grants.setdefault(grant.user, []).append(grant)
        self._repositories = tuple(repositories)
        self._passwords = passwords or Passwords()
        self._now = now

    def may(self, actor: Actor, action: Action, repository: RepositorySpec, package: str | None = None) -> bool:
        """Whether ``actor`` may do it. ``package`` None asks whether there is any package for which."""
        if action is Action.READ and repository.anonymous_read:
            return True
        if actor.name is None:
            return False
        if actor.scopes is not None and not any(_scope(each, action, repository, package) for each in actor.scopes):
            return False
        return actor.admin or self._granted(actor.name, action, repository, package)

    def require(self, actor: Actor, action: Action, repository: RepositorySpec, package: str | None = None) -> None:
        """Raises Unauthenticated when it takes to be known, Forbidden when ``actor`` lacks the right."""
        if self.may(actor, action, repository, package):
            return
        what = f"{action} {package} in {repository.title}" if package else f"{action} in {repository.title}"
        if actor.name is None:
            raise Unauthenticated(f"credentials are needed to {what}")
        raise Forbidden(f"{actor.name} may not {what}")

    def readable(self, actor: Actor) -> tuple[RepositorySpec, ...]:
        """The repositories that ``actor`` may read."""
        return tuple(each for each in self._repositories if self.may(actor, Action.READ, each))

    def readable_by_all_readers_of(self, group: RepositorySpec, member: RepositorySpec) -> bool:
        """Whether everybody who may read ``group`` may read ``member``: only such members are
        listed, so that the pages of a group do not vary by viewer."""
        if member.anonymous_read or group.anonymous_read:
            return member.anonymous_read
        return all(
            self._granted(user, Action.READ, member, None)
            for user in self._grants
            if self._granted(user, Action.READ, group, None) and not self._is_admin(user)
        )

    async def identify(self, authorization: str | None) -> Actor:
        """Who sends this Authorization header: Basic, Bearer, or a token alone (RFC 7617, RFC 6750).

        No header is the anonymous reader. Raises Unauthenticated for credentials that are not good.
        """
        if not authorization:
            return Actor()
        if len(authorization) > LONGEST:
            raise Unauthenticated("the Authorization header is too long")
        scheme, _, rest = authorization.strip().partition(" ")
        if scheme.lower() == "basic":
            return await self._basic(rest.strip())
        if scheme.lower() == "bearer":
            return self._by_token(rest.strip())
        return self._by_token(authorization.strip())

    async def _basic(self, encoded: str) -> Actor:
        try:
            name, colon, password = b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            raise Unauthenticated("the Basic credentials are not base64 of UTF-8 text") from None
        if not colon:
            raise Unauthenticated("the Basic credentials hold no colon")
        if password.startswith(tokens.PREFIX):
            return self._by_token(password)
        return await self.login(name, password)

    @property
    def passwords(self) -> Passwords:
        """What checks passwords in this process."""
        return self._passwords

    async def login(self, name: str, password: str) -> Actor:
        """Who has this user name and this password. Raises Unauthenticated, in the same words whatever
        is wrong; a name that failed too often is refused for the rest of a minute."""
        if len(name) > LONGEST_NAME:
            raise Unauthenticated(WRONG)  # nobody is called so, and names that failed are kept in memory
        user = self._users.get(name)
        stored = user.password_hash if user and not user.disabled else None
        if not await self._passwords.check(name, stored, password) or user is None:
            raise Unauthenticated(WRONG)
        return Actor(user.name, user.admin)

    def _by_token(self, text: str) -> Actor:
        digest = tokens.digest(text) if tokens.is_token(text) else ""
        token = self._tokens.get(digest)
        if token is None or not hmac.compare_digest(token.hash, digest):
            raise Unauthenticated("the token is not known")
        user = self._users.get(token.user)
        if user is None or user.disabled or self._past(token.revoked):
            raise Unauthenticated("the token is no longer good")
        if self._past(token.expires):
            raise Unauthenticated("the token has expired")
        return Actor(user.name, user.admin, token.id, token.scopes)

    def _past(self, moment: datetime | None) -> bool:
        return moment is not None and moment <= self._now()

    def _granted(self, user: str, action: Action, repository: RepositorySpec, package: str | None) -> bool:
        return any(
            (action in grant.actions or Action.ADMIN in grant.actions)
            and matches(grant.repositories, repository.title)
            and _packages((grant.packages,), action, package)
            for grant in self._grants.get(user, ())
        )

    def _is_admin(self, name: str) -> bool:
        user = self._users.get(name)
        return user is not None and user.admin


def _scope(scope: Scope, action: Action, repository: RepositorySpec, package: str | None) -> bool:
    return (
        action in scope.actions
        and any(matches(glob, repository.title) for glob in scope.repositories)
        and _packages(scope.packages, action, package)
    )


def _packages(globs: Iterable[str], action: Action, package: str | None) -> bool:
    return package is None or action not in BY_PACKAGE or any(matches(glob, package) for glob in globs)
