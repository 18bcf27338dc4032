"""Logins that wait for a person: in the database, because any worker may be asked for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update

from reliquary.catalog.database import Topic, table, unbroken
from reliquary.catalog.tables import Login

COLUMNS = ("page", "secret", "title", "created", "expires", "user")


@dataclass(frozen=True, slots=True)
class LoginRow:
    """A login that was begun.

    Args:
        page, secret: SHA-256 (hexadecimal) of what names it to the person, and to the client.
        title: what the person is told of the client.
        created, expires: UTC.
        user: who ended it; None while nobody did.
    """

    page: str = field(repr=False)
    secret: str = field(repr=False)
    title: str
    created: datetime
    expires: datetime
    user: str | None = None


class Logins(Topic):
    """Pending logins. They are worth ten minutes, so no commit waits for the disk."""

    @unbroken
    async def add(self, row: LoginRow, most: int) -> bool:
        """Forget what has expired by now (the row's ``created``), and add a login unless there are
        ``most`` already; returns whether it was added."""
        pending = select(func.count()).select_from(Login).where(Login.expires > row.created)
        async with self._database.reading() as connection:
            if (await connection.execute(pending)).scalar_one() >= most:
                return False  # without a write that others would wait for
        async with self._database.writing(durable=False) as connection:
            await connection.execute(delete(Login).where(Login.expires <= row.created))
            if (await connection.execute(pending)).scalar_one() >= most:
                return False
            values = {name: getattr(row, name) for name in COLUMNS}
            await connection.execute(insert(table(Login)).values(**values))
        return True

    async def find(self, *, now: datetime, page: str = "", secret: str = "") -> LoginRow | None:
        """The login of a page or of a client's secret (their SHA-256) that has not expired."""
        which = Login.page == page if page else Login.secret == secret
        async with self._database.reading() as connection:
            row = (await connection.execute(select(table(Login)).where(which, Login.expires > now))).first()
        return None if row is None else LoginRow(**row._mapping)

    @unbroken
    async def end(self, page: str, user: str, now: datetime) -> bool:
        """Note that this user ended the login; False when there is none, or somebody did before."""
        pending = update(Login).where(Login.page == page, Login.user.is_(None), Login.expires > now)
        async with self._database.writing(durable=False) as connection:
            return (await connection.execute(pending.values(user=user))).rowcount > 0

    @unbroken
    async def take(self, secret: str, now: datetime) -> str | None:
        """The user who ended the login, once: it is forgotten. None for all others who ask."""
        ended = delete(table(Login)).where(Login.secret == secret, Login.user.is_not(None), Login.expires > now)
        async with self._database.writing(durable=False) as connection:
            found = (await connection.execute(ended.returning(Login.user))).first()
        return None if found is None else str(found[0])
