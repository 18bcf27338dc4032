"""The schema's way up and down."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError

from reliquary.catalog import migrate
from reliquary.catalog.tables import Base
from reliquary.errors import SettingsError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database will be."""
    return tmp_path / "var" / "reliquary.db"


NEXT = """
from alembic import op
import sqlalchemy as sa

revision = "next"
down_revision = "{head}"


def upgrade():
    op.add_column("users", sa.Column("mail", sa.Text()))
    {also}


def downgrade():
    op.drop_column("users", "mail")
"""


def with_next(tmp_path: Path, also: str = "") -> migrate.Migrations:
    """The shipped migrations and one more."""
    shipped = migrate.shipped()
    copy = tmp_path / "migrations"
    shutil.copytree(shipped.folder, copy)
    (copy / "versions" / "next.py").write_text(NEXT.format(head=shipped.head, also=also))
    return migrate.Migrations(copy, "next")


@pytest.fixture
def url(path: Path) -> str:
    """Its address."""
    return f"sqlite:///{path}"


def execute(path: Path, statement: str) -> list[tuple[str, ...]]:
    """Run a statement on the database file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).fetchall()


def names(path: Path) -> set[str]:
    """The tables."""
    found = execute(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in found if not name.startswith("sqlite_")}


def test_head_is_the_newest_script() -> None:
    assert (
        ScriptDirectory.from_config(migrate.configuration("", migrate.shipped())).get_current_head() == migrate.head()
    )


def test_up_down_and_up_again(path: Path, url: str) -> None:
    assert migrate.current(url) is None
    migrate.upgrade(url)
    assert migrate.current(url) == migrate.head()
    assert names(path) == set(Base.metadata.tables) | {"alembic_version"}
    migrate.downgrade(url, "base")
    assert names(path) == {"alembic_version"}
    assert migrate.current(url) is None
    migrate.upgrade(url)
    assert migrate.current(url) == migrate.head()


def test_the_scripts_make_what_the_models_say(url: str) -> None:
    migrate.upgrade(url)
    with migrate.engine(url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_counting_downloads_begins_and_ends_with_every_row_in_place(path: Path, url: str) -> None:
    migrate.upgrade(url)
    migrate.downgrade(url, "0003")
    execute(path, "INSERT INTO repositories VALUES (1, 'f', 'n', 'hosted', '[]', '[]', '{}', 1, 0, 0)")
    execute(path, "INSERT INTO packages VALUES (1, 1, 'p', 0)")
    execute(path, "INSERT INTO versions VALUES (1, 1, '1')")
    columns = [column[1] for column in execute(path, "PRAGMA table_info(files)")]
    values = dict.fromkeys(columns, "NULL") | dict.fromkeys(("id", "version_id", "repository_id"), "1")
    values |= dict.fromkeys(("listed", "pinned"), "0") | dict.fromkeys(("digests", "data"), "'{}'")
    values |= dict.fromkeys(("key", "scope", "filename", "etag", "modified", "first_seen", "fragment"), "'x'")
    row = f"({', '.join(values)}) VALUES ({', '.join(values.values())})"
    execute(path, f"INSERT INTO files {row}")
    shape = execute(path, "SELECT sql FROM sqlite_master WHERE tbl_name = 'files' ORDER BY name")
    migrate.upgrade(url)
    assert execute(path, "SELECT id || key || downloads FROM files") == [("1x0",)]
    migrate.downgrade(url, "0003")
    assert execute(path, "SELECT id || key FROM files") == [("1x",)]
    # An id of a row that was deleted never comes back.
    assert execute(path, "SELECT sql FROM sqlite_master WHERE tbl_name = 'files' ORDER BY name") == shape
    assert "AUTOINCREMENT" in str(shape)


def test_only_the_owner_reads_the_database(path: Path, url: str) -> None:
    migrate.upgrade(url)
    assert path.stat().st_mode & 0o077 == 0
    assert execute(path, "PRAGMA journal_mode") == [("wal",)]


def test_two_starts_at_once_make_one_schema(url: str) -> None:
    command = [sys.executable, "-c", f"from reliquary.catalog import migrate; migrate.upgrade({url!r})"]
    with ThreadPoolExecutor() as pool:
        codes = list(pool.map(lambda _: subprocess.run(command, check=False).returncode, range(4)))
    assert codes == [0, 0, 0, 0]
    assert migrate.current(url) == migrate.head()


def test_an_up_to_date_start_imports_no_alembic(url: str) -> None:
    migrate.upgrade(url)
    program = (
        f"import sys; from reliquary.catalog import migrate; migrate.upgrade({url!r}); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_a_newer_schema_is_refused_and_left_alone(path: Path, url: str) -> None:
    migrate.upgrade(url)
    execute(path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SettingsError, match="9999"):
        migrate.upgrade(url)
    assert migrate.current(url) == "9999"
    assert [file.name for file in path.parent.glob("*.before-*")] == []


def test_an_existing_database_is_copied_before_it_changes(tmp_path: Path, path: Path, url: str) -> None:
    migrate.upgrade(url)
    assert list(path.parent.glob("*.before-*")) == []
    # An open connection keeps this row in the write-ahead log.
    with closing(sqlite3.connect(path)) as connection:
        with connection:
            connection.execute("INSERT INTO properties VALUES ('package', 1, 'status', 'active')")
        migrate.upgrade(url, with_next(tmp_path))
    copy = path.with_name("reliquary.db.before-next")
    assert copy.stat().st_mode & 0o077 == 0
    assert migrate.current(f"sqlite:///{copy}") == migrate.head()
    assert migrate.current(url) == "next"
    for database in (copy, path):
        assert execute(database, "SELECT value FROM properties") == [("active",)]


def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path, path: Path, url: str) -> None:
    migrate.upgrade(url)
    with pytest.raises(OperationalError):
        migrate.upgrade(url, with_next(tmp_path, also='op.drop_table("recipes")'))
    assert migrate.current(url) == migrate.head()
    assert "mail" not in {column[1] for column in execute(path, "PRAGMA table_info(users)")}
    migrate.upgrade(url)


def test_the_tables_of_another_program_are_refused(path: Path, url: str) -> None:
    path.parent.mkdir()
    execute(path, "CREATE TABLE recipes (id INTEGER)")
    with pytest.raises(SettingsError, match="not Reliquary's"):
        migrate.upgrade(url)
    assert names(path) == {"recipes"}


def test_a_file_that_is_no_database_is_refused(path: Path, url: str) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, however long it may be" * 10)
    with pytest.raises(SettingsError, match=r"reliquary\.db"):
        migrate.upgrade(url)
