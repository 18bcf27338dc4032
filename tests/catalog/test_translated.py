"""Questions put to SQLite as translated once, against the same put by SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, create_engine, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from reliquary.catalog.database import table
from reliquary.catalog.embedded import Statements
from reliquary.catalog.tables import Base, Blob, ChangeRow, Event, Upstream
from reliquary.catalog.translated import MOST, Direct, Question, Translations

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

ALL = select(Blob.digest, Blob.size, Blob.digests, Blob.created).order_by(Blob.digest)
WITHIN = ALL.where(Blob.digest.in_(bindparam("digests", expanding=True)), Blob.size > bindparam("least"))
QUESTIONS: list[tuple[Question, Mapping[str, Any]]] = [
    (ALL, {}),
    (WITHIN, {"digests": ["a", "c"], "least": 0}),
    (WITHIN, {"digests": ("a", "b", "c"), "least": 2}),
    (WITHIN, {"digests": [], "least": 0}),
    (WITHIN, {"least": 1, "digests": ["c", "c"]}),
    (ALL.where(Blob.created > bindparam("after")), {"after": datetime(2026, 2, 1, tzinfo=UTC)}),
    (select(Blob.size.label("bytes"), literal("x").label("kind")).where(Blob.digest == bindparam("at")), {"at": "b"}),
    (select(func.max(Blob.size).label("most")), {}),
    (select(Upstream.learned, Upstream.gone_at, Upstream.since).where(Upstream.path == bindparam("at")), {"at": "p"}),
]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path}/blobs.db")
    Base.metadata.create_all(engine)
    with engine.begin() as made:
        rows = [
            {"digest": name, "size": at, "digests": {"md5": name}, "created": NOW} for at, name in enumerate("abcd")
        ]
        made.execute(insert(Blob), rows)
        state = {"repository_id": 1, "path": "p", "url": "u", "status": 200, "checked_at": NOW, "since": NOW}
        made.execute(insert(Upstream), state | {"learned": True})
    with engine.connect() as made:
        yield made
    engine.dispose()


@pytest.mark.parametrize(("question", "values"), QUESTIONS)
def test_the_same_rows(connection: Connection, question: Question, values: Mapping[str, Any]) -> None:
    translations = Translations(connection.dialect)
    for _ in range(2):
        rows = translations.ask(connection, question, values)
        expected = connection.execute(question, values).all()
        assert rows is not None
        assert [tuple(row) for row in rows] == [tuple(row) for row in expected]
        for row, like in zip(rows, expected, strict=True):
            for name in like._fields:
                assert getattr(row, name) == getattr(like, name)
                assert type(getattr(row, name)) is type(getattr(like, name))


def test_results_answer_like_those_of_the_library(connection: Connection) -> None:
    rows = Translations(connection.dialect).ask(connection, ALL, {})
    none = Translations(connection.dialect).ask(connection, WITHIN, {"digests": ["z"], "least": 0})
    assert rows is not None
    assert none is not None
    assert (rows.scalar(), rows.scalars(), rows.first(), len(rows.all())) == ("a", ["a", "b", "c", "d"], rows[0], 4)
    assert (none.scalar(), none.scalars(), none.first(), none.all()) == (None, [], None, [])
    with pytest.raises(ValueError, match="unpack"):
        rows.one()


def test_what_sqlite_refuses_is_told_by_the_library(connection: Connection) -> None:
    translations = Translations(connection.dialect)
    connection.exec_driver_sql("DROP TABLE blobs")
    assert translations.ask(connection, ALL, {}) is None


@pytest.mark.anyio
async def test_statements_fall_back_on_the_library(connection: Connection) -> None:
    statements = Statements(connection, Translations(connection.dialect))
    assert (await statements.execute(ALL, {})).first() is not None
    connection.exec_driver_sql("DROP TABLE blobs")
    with pytest.raises(OperationalError, match="no such table"):
        await statements.execute(ALL, {})


def test_questions_made_again_and_again_are_forgotten(connection: Connection) -> None:
    translations = Translations(connection.dialect)
    for at in range(MOST + 2):
        rows = translations.ask(connection, select(Blob.size).where(Blob.size == at, Blob.size == at), {})
        assert rows is not None
        assert rows.scalar() == (at if at < 4 else None)
    assert len(translations._known) <= MOST


def test_what_writes_is_translated_when_it_is_run_again(connection: Connection) -> None:
    direct = Direct(connection, Translations(connection.dialect))
    adding = insert(table(ChangeRow)).returning(ChangeRow.seq)
    moving = update(ChangeRow).where(ChangeRow.scope.in_(bindparam("of", expanding=True))).values(scope=bindparam("to"))
    for at in range(3):
        rows = [{"repository_id": None, "scope": f"{at}-{each}"} for each in range(3)]
        assert [row.seq for row in direct.execute(adding, rows)] == [3 * at + 1, 3 * at + 2, 3 * at + 3]
        assert direct.execute(moving, {"of": [f"{at}-0", f"{at}-2"], "to": "x"}).rowcount == 2
    found = connection.execute(select(ChangeRow.scope).order_by(ChangeRow.seq)).scalars().all()
    assert found == ["x", "0-1", "x", "x", "1-1", "x", "x", "2-1", "x"]


def test_values_go_through_the_types_of_their_columns(connection: Connection) -> None:
    direct = Direct(connection, Translations(connection.dialect))
    adding = insert(table(Event))
    for at in range(3):
        moment = datetime(2026, 1, 2, 3, 4, 5, at, UTC)
        values = {"repository_id": 1, "serial": at, "name": "n", "version": "", "filename": "", "action": "add"}
        direct.execute(adding, {**values, "actor": None, "at": moment})
    rows = connection.execute(select(Event.at, Event.actor).order_by(Event.serial)).all()
    assert [(row.at, row.actor) for row in rows] == [(datetime(2026, 1, 2, 3, 4, 5, at, UTC), None) for at in range(3)]


def test_rows_of_different_columns_are_left_to_the_library(connection: Connection) -> None:
    translations = Translations(connection.dialect)
    assert translations.ask(connection, insert(table(ChangeRow)), [{"scope": "a"}, {"repository_id": None}]) is None
    assert connection.execute(select(ChangeRow.scope)).all() == []


def test_what_breaks_a_rule_is_told_in_the_library_s_words(connection: Connection) -> None:
    direct = Direct(connection, Translations(connection.dialect))
    adding = insert(table(Blob))
    one: dict[str, Any] = {"digest": "q", "size": 1, "digests": {"md5": "q"}, "created": NOW}
    direct.execute(adding, [one])
    for _ in range(2):
        with pytest.raises(IntegrityError):
            direct.execute(adding, [{**one, "digest": "r"}, one])
