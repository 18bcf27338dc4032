"""Questions that are asked all the time, put to SQLite without SQLAlchemy between.

It takes several times as long for a row as SQLite takes to find it. So a SELECT that is made once is
translated once, and then only its values travel.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from sqlalchemy import Connection, Select
from sqlalchemy.engine import Dialect

MOST = 500
"""Translations that are remembered."""
Question: TypeAlias = Select[*tuple[Any, ...]]
Place: TypeAlias = tuple[str, int | None] | None
"""Where the value of a question mark comes from: a parameter, or one of a parameter's values; None: it is fixed."""


class Rows(list[Any]):
    """Rows that are all here, with what the catalog uses of SQLAlchemy's results."""

    def all(self) -> Sequence[Any]:
        """Every row."""
        return self

    def first(self) -> Any:
        """The first row, or None."""
        return self[0] if self else None

    def one(self) -> Any:
        """The only row; raises ValueError where there are more or none."""
        (row,) = self
        return row

    def scalar(self) -> Any:
        """The first column of the first row, or None."""
        return self[0][0] if self else None

    def scalars(self) -> Sequence[Any]:
        """The first column of each row."""
        return [row[0] for row in self]


class Translation:
    """A SELECT as SQL, for lists of certain lengths.

    Args:
        question: has a `bindparam` for each of the values.
        values: some to ask it with.
    """

    def __init__(self, question: Question, values: Mapping[str, Any], dialect: Dialect) -> None:
        compiled: Any = question.compile(dialect=dialect)
        state = compiled.construct_expanded_state(dict(values))
        within = {
            each: (name, at) for name, parts in state.parameter_expansion.items() for at, each in enumerate(parts)
        }
        names: Sequence[str] = state.positiontup
        self.sql: str = state.statement
        self._fixed = [state.parameters[name] for name in names]
        self._places: list[Place] = [within.get(name) or ((name, None) if name in values else None) for name in names]
        self._binds = [state.processors.get(name) for name in names]
        columns = question.selected_columns
        self._row = cast("Callable[..., Any]", namedtuple("Row", [str(each.key) for each in columns], rename=True))
        converts = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._converts = [(at, convert) for at, convert in enumerate(converts) if convert is not None]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the question marks."""
        found = []
        for place, fixed, bind in zip(self._places, self._fixed, self._binds, strict=True):
            value = fixed if place is None else values[place[0]] if place[1] is None else values[place[0]][place[1]]
            found.append(value if bind is None else bind(value))
        return found

    def row(self, columns: tuple[Any, ...]) -> Any:
        """A row as SQLite gives it, with Python's values, found by name too."""
        found = list(columns)
        for at, convert in self._converts:
            found[at] = convert(found[at])
        return self._row(*found)


class Translations:
    """The questions of one database."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: dict[tuple[Any, ...], Translation] = {}

    def ask(self, connection: Connection, question: Question, values: Mapping[str, Any]) -> Rows | None:
        """The answer; None where SQLite refuses: SQLAlchemy will then say so in its own errors."""
        key = (question, *(len(value) for value in values.values() if isinstance(value, (list, tuple))))
        translation = self._known.get(key)
        if translation is None:
            if len(self._known) >= MOST:
                self._known.clear()
            translation = self._known[key] = Translation(question, values, self._dialect)
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        try:
            rows = driver.execute(translation.sql, translation.arguments(values)).fetchall()
        except sqlite3.Error:
            return None
        return Rows(map(translation.row, rows))
