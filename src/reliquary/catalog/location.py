"""Where the database is: one address, checked, with the driver that is used."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from reliquary.errors import SettingsError

DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}


def parse(url: str) -> tuple[URL, str]:
    """The address and its backend, ``sqlite`` or ``postgresql``. Raises SettingsError."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # The text may hold a password, so it is not repeated.
        raise SettingsError("the database address is not a URL such as sqlite:////var/lib/reliquary.db") from error
    backend = parsed.drivername.partition("+")[0]
    if backend == "postgres":
        backend = "postgresql"
    if backend not in DRIVERS:
        raise SettingsError(f"the database address names {backend}; known are sqlite and postgresql")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError("the database address names no file; SQLite in memory cannot be shared")
    return parsed, backend


def engine_url(url: str) -> URL:
    """The address for SQLAlchemy's engines. Raises SettingsError."""
    parsed, backend = parse(url)
    return parsed.set(drivername=DRIVERS[backend])


def sqlite_path(url: str) -> Path | None:
    """The database file, or None when the database is not SQLite. Raises SettingsError."""
    parsed, backend = parse(url)
    return Path(str(parsed.database)) if backend == "sqlite" else None
