"""Statements that run all the time, put to SQLite without SQLAlchemy between.

It takes several times as long for a row as SQLite takes to find or to write it. So a statement that is
made once is translated once, and then only its values travel.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from sqlalchemy import Connection, Delete, Insert, Select, Update
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import Executable

MOST = 500
"""Translations that are remembered."""
KINDS = (Select, Insert, Update, Delete)
Question: TypeAlias = Select[*tuple[Any, ...]] | Insert | Update | Delete
Place: TypeAlias = tuple[str, int | None] | None
"""Where the value of a question mark comes from: a parameter, or one of a parameter's values; None: it is fixed."""


class Rows(list[Any]):
    """Rows that are all here, with what the catalog uses of SQLAlchemy's results."""

    rowcount = -1

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
    """A statement as SQL, for lists of certain lengths.

    Args:
        question: has a `bindparam` for each of the values; of an INSERT they are by column.
        values: some to ask it with.

    Raises:
        NotImplementedError: SQLAlchemy would add values of its own.
    """

    def __init__(self, question: Question, values: Mapping[str, Any], dialect: Dialect) -> None:
        compiled: Any = question.compile(dialect=dialect, column_keys=sorted(values))
        if compiled.insert_prefetch or compiled.update_prefetch:
            raise NotImplementedError
        state = compiled.construct_expanded_state(dict(values))
        within = {
            each: (name, at) for name, parts in state.parameter_expansion.items() for at, each in enumerate(parts)
        }
        names: Sequence[str] = state.positiontup
        self.sql: str = state.statement
        self._fixed = [state.parameters[name] for name in names]
        self._places: list[Place] = [within.get(name) or ((name, None) if name in values else None) for name in names]
        self._binds = [state.processors.get(name) for name in names]
        columns = question.exported_columns
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
    """The statements of one database."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._met: dict[Question, None] = {}
        self._known: dict[tuple[Any, ...], Translation | None] = {}

    def execute(self, connection: Connection, statement: Executable, parameters: Any) -> Any:
        """The result, of SQLAlchemy where it must be: it is asked for what is not repeated, and again for what SQLite
        refuses, since its errors are known."""
        if isinstance(statement, KINDS) and (parameters or parameters == {}) and self._is_repeated(statement):
            rows = self.ask(connection, statement, parameters)
            if rows is not None:
                return rows
        return connection.execute(statement, parameters)

    def _is_repeated(self, statement: Question) -> bool:
        """Whether a statement was run before; what is made anew each time never is."""
        if statement in self._met:
            return True
        if len(self._met) >= MOST:
            self._met.clear()
        self._met[statement] = None
        return False

    def ask(
        self, connection: Connection, question: Question, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Rows | None:
        """The answer, for each of the parameters in turn; None where there is no translation, or SQLite refuses."""
        several = [parameters] if isinstance(parameters, Mapping) else parameters
        if any(each.keys() != several[0].keys() for each in several):
            return None
        translation = self._translation(question, several[0])
        if translation is None:
            return None
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        found, count = Rows(), 0
        try:
            for values in several:
                cursor = driver.execute(translation.sql, translation.arguments(values))
                found.extend(map(translation.row, cursor.fetchall()))
                count += cursor.rowcount
        except sqlite3.Error:
            return None
        found.rowcount = count
        return found

    def _translation(self, question: Question, values: Mapping[str, Any]) -> Translation | None:
        lengths = (len(value) for value in values.values() if isinstance(value, (list, tuple)))
        key = (question, tuple(values) if isinstance(question, Insert) else (), *lengths)
        if key in self._known:
            return self._known[key]
        if len(self._known) >= MOST:
            self._known.clear()
        try:
            translation = Translation(question, values, self._dialect)
        except NotImplementedError:
            translation = None
        self._known[key] = translation
        return translation


class Direct:
    """A connection whose statements are translated where they can be; all else is the connection's."""

    def __init__(self, connection: Connection, translations: Translations) -> None:
        self._connection = connection
        self._translations = translations

    def execute(self, statement: Executable, parameters: Any = None) -> Any:
        """See `Translations.execute`."""
        return self._translations.execute(self._connection, statement, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
