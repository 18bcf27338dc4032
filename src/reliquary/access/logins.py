"""Logins that a client begins and a person ends in a browser.

Two secrets name one login: the page's, which people see, and the client's, which fetches the token.
Both are kept as their SHA-256 only. The token itself is made when it is fetched, so none is ever kept.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from reliquary.catalog import logins
from reliquary.catalog.logins import LoginRow
from reliquary.errors import Conflict, NotHere

LIFE = timedelta(minutes=10)
MOST = 1000
"""Logins that may be pending at once."""

TITLE = 120
"""Characters of what a client may call itself."""

GONE = "there is no such login any more: it was ended before, or begun more than ten minutes ago; begin a new one"


class Logins:
    """Pending logins as clients and people use them.

    Args:
        rows: where they are kept.
        now: the time, UTC.
        most: how many may be pending at once.
    """

    def __init__(
        self, rows: logins.Logins, now: Callable[[], datetime] = lambda: datetime.now(UTC), *, most: int = MOST
    ) -> None:
        self._rows = rows
        self._now = now
        self._most = most

    async def begin(self, title: str) -> tuple[str, str]:
        """Begin a login: the name of its page and the client's secret. Raises Conflict when too many
        are pending."""
        page, secret = secrets.token_hex(20), secrets.token_urlsafe(32)
        shown = "".join(sign for sign in title if sign.isprintable())[:TITLE]
        now = self._now()
        row = LoginRow(_digest(page), _digest(secret), shown, now, now + LIFE)
        # A refusal of this class makes clients ask for the password instead.
        if not await self._rows.add(row, self._most):
            raise Conflict("too many logins are waiting for their people; log in with user name and password")
        return page, secret

    async def pending(self, page: str) -> LoginRow:
        """The login of a page; raises NotHere when it is over or was ended."""
        row = await self._rows.find(page=_digest(page), now=self._now())
        if row is None or row.user is not None:
            raise NotHere(GONE)
        return row

    async def end(self, page: str, user: str) -> None:
        """The person of this page is known to be ``user``; raises NotHere when it is over."""
        if not await self._rows.end(_digest(page), user, self._now()):
            raise NotHere(GONE)

    async def take(self, secret: str) -> tuple[str, str] | None:
        """Who ended the login, once, and its title; None while nobody did. Raises NotHere."""
        row = await self._rows.find(secret=_digest(secret), now=self._now())
        if row is None:
            raise NotHere(GONE)
        if row.user is None:
            return None
        user = await self._rows.take(row.secret, self._now())
        if user is None:
            raise NotHere(GONE)
        return user, row.title


def code(page: str) -> str:
    """The beginning of a page's name as people compare it with the address in their terminal."""
    return f"{page[:4]}-{page[4:8]}"


def form_token(row: LoginRow) -> str:
    """What a form of this login's page sends back, and no form of another page can know."""
    return hmac.new(row.secret.encode(), f"form {row.page}".encode(), hashlib.sha256).hexdigest()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
