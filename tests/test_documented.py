"""What is public is written down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from reliquary.cli import app
from reliquary.settings import TABLES, Settings
from reliquary.web.api import openapi, routes

DOCS = Path(__file__).parent.parent / "docs"


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, with its words."""
    inside = getattr(command, "commands", None)
    if not inside:
        yield path, command
        return
    for name, each in inside.items():
        yield from commands(each, (*path, name))


COMMANDS = list(commands(typer.main.get_command(app)))


def words(text: str) -> set[str]:
    """What stands in code spans."""
    return {word for span in re.findall(r"`([^`\n]+)`", text) for word in re.split(r"[\s,]+", span)}


def test_every_command_is_in_the_docs() -> None:
    text = (DOCS / "commands.md").read_text()
    missing = [" ".join(path) for path, _ in COMMANDS if not re.search(rf"`(reliquary )?{' '.join(path)}[ `]", text)]
    assert missing == []
    assert len(COMMANDS) > 20


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_every_option_is_in_the_docs(path: tuple[str, ...], command: Any) -> None:
    known = words((DOCS / "commands.md").read_text())
    options = {option for each in command.params for option in (*each.opts, *each.secondary_opts) if option[:2] == "--"}
    assert options - known - {"--help"} == set()
    assert command.help


def test_no_option_is_documented_that_does_not_exist() -> None:
    known = {option for _, each in COMMANDS for param in each.params for option in (*param.opts, *param.secondary_opts)}
    assert {word for word in words((DOCS / "commands.md").read_text()) if word.startswith("--")} - known == set()


def test_every_setting_is_in_the_docs() -> None:
    known = words((DOCS / "settings.md").read_text())
    tables: list[type[BaseModel]] = [Settings, *TABLES.values()]
    names = {name for table in tables for name in table.model_fields}
    assert names - known == set()


def test_every_route_of_the_api_is_in_the_docs_and_in_the_openapi_document() -> None:
    described = openapi.document(routes.OPERATIONS, "http://reliquary.example/api/v1")
    inside = {f"{method.upper()} {path}" for path, methods in described["paths"].items() for method in methods}
    table = {f"{each.method} {each.path.replace(':path', '')}" for each in routes.OPERATIONS}
    documented = set(re.findall(r"^\| `([A-Z]+ /[^`]*)`", (DOCS / "api.md").read_text(), re.MULTILINE))
    assert inside == table
    assert documented == table
