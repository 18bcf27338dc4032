"""Questions put to SQLite as translated once, against the same put by SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, create_engine, func, insert, literal, select
from sqlalchemy.exc import OperationalError

from reliquary.catalog.embedded import Statements
from reliquary.catalog.tables import Base, Blob, Upstream
from reliquary.catalog.translated import MOST, Question, Translations

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
