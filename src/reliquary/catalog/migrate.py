"""Bringing a database to the schema of this program.

alembic is imported only where there is something to do: a start on an up-to-date database reads one row.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.pool import NullPool

from reliquary.catalog.location import engine_url, sqlite_path
from reliquary.errors import SettingsError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0004"
"""The newest revision in the migrations folder; a test holds it to that."""

BUSY_SECONDS = 10


def head() -> str:
    """The revision this program needs."""
    return HEAD


def folder() -> Path:
    """The migrations: inside an installed package, or at the root of a checkout."""
    here = Path(__file__).resolve()
    installed = here.parents[1] / "migrations"
    return installed if installed.is_dir() else here.parents[3] / "migrations"


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@dataclass(frozen=True, slots=True)
class Migrations:
    """Where the scripts are, and the newest revision among them."""

    folder: Path
    head: str


def shipped() -> Migrations:
    """Those of this program."""
    return Migrations(folder(), HEAD)


@contextmanager
def engine(url: str) -> Iterator[Engine]:
    """A synchronous engine whose transactions hold data definitions too. Raises SettingsError."""
    on_sqlite = sqlite_path(url) is not None
    # With transactions of its own the driver would commit before each CREATE TABLE.
    arguments = {"isolation_level": None, "timeout": BUSY_SECONDS} if on_sqlite else {}
    made = create_engine(engine_url(url), poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    if on_sqlite:
        event.listen(made, "begin", _begin_immediate)
    try:
        yield made
    finally:
        made.dispose()


def _sqlite_state(path: Path) -> tuple[str | None, bool]:
    if not path.exists():
        return None, False
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name for (name,) in names if not name.startswith("sqlite_")}
            if "alembic_version" not in tables:
                return None, bool(tables)
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise SettingsError(f"{path} cannot be read as a database: {error}") from error
    return (row[0] if row else None), len(tables) > 1


def _state(url: str) -> tuple[str | None, bool]:
    path = sqlite_path(url)
    if path is not None:
        return _sqlite_state(path)
    with engine(url) as made, made.connect() as connection:
        tables = set(inspect(connection).get_table_names())
        if "alembic_version" not in tables:
            return None, bool(tables)
        return connection.scalar(text("SELECT version_num FROM alembic_version")), len(tables) > 1


def current(url: str) -> str | None:
    """The database's revision; None when it is empty or not there. Raises SettingsError."""
    return _state(url)[0]


def configuration(url: str, migrations: Migrations) -> Config:
    """What alembic needs to know, without a file."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(migrations.folder).replace("%", "%%"))
    made.attributes["url"] = url
    return made


def _check_known(revision: str, head: str, config: Config) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision not in known:
        raise SettingsError(
            f"the database is at revision {revision}, which this program ({head}) does not know: it was used by a "
            "newer Reliquary; install that one, or restore the copy made before the upgrade"
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the database's folder, so that of several starts one prepares, copies and upgrades.

    SQLite does not wait for a lock where the journal's mode changes, so its own locks do not suffice.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _prepare(path: Path) -> None:
    # The database holds secrets; SQLite gives its side files the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _copy(path: Path, head: str) -> None:
    copy = path.with_name(f"{path.name}.before-{head}")
    unfinished = path.with_name(f"{copy.name}.part")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    # A plain copy of the file would leave out what is still in the write-ahead log.
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(unfinished)) as target:
        source.backup(target)
    unfinished.replace(copy)


def upgrade(url: str, migrations: Migrations | None = None) -> None:
    """Bring the database to the head of ``migrations`` (the shipped ones), creating it if it is not there.

    An existing SQLite database is first copied beside itself, as ``<name>.before-<revision>``.

    Raises:
        SettingsError: the address is wrong, the database is another program's, or a newer
            Reliquary's.
    """
    migrations = migrations or shipped()
    if _state(url)[0] == migrations.head:
        return
    path = sqlite_path(url)
    with _alone(path) if path is not None else nullcontext():
        _upgrade(url, path, migrations)


def _upgrade(url: str, path: Path | None, migrations: Migrations) -> None:
    revision, in_use = _state(url)
    if revision == migrations.head:
        return
    if revision is None and in_use:
        raise SettingsError("the database holds tables that are not Reliquary's; choose an empty one")
    from alembic import command

    config = configuration(url, migrations)
    if revision is not None:
        _check_known(revision, migrations.head, config)
        if path is not None:
            _copy(path, migrations.head)
    elif path is not None:
        _prepare(path)
    command.upgrade(config, "head")


def downgrade(url: str, revision: str) -> None:
    """Take the database back to ``revision`` (``base``: to nothing)."""
    from alembic import command

    command.downgrade(configuration(url, shipped()), revision)
