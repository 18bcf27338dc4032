"""What the commands on a data folder share: their options, and how they print."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from reliquary.cli import logs
from reliquary.cli.common import Failure, console, in_world, read_settings
from reliquary.settings import Settings
from reliquary.types import Actor

if TYPE_CHECKING:
    from reliquary.app import World

T = TypeVar("T")

Data: TypeAlias = Annotated[Path | None, typer.Option("--data", help="Folder of the database, the blobs and the keys.")]
Config: TypeAlias = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML).")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Title: TypeAlias = Annotated[str, typer.Argument(metavar="REPO", help="The repository, as format/name.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
FromInput: TypeAlias = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]

OWNER = Actor("command line", admin=True)
"""Whoever may write to the data folder may do everything."""


def quiet(config: Path | None, data: Path | None) -> Settings:
    """The settings of a command; its log holds warnings alone."""
    settings = read_settings(config, data=data)
    logs.configure(settings.model_copy(update={"log_level": "warning"}))
    return settings


def work(config: Path | None, data: Path | None, do: Callable[[World], Awaitable[T]]) -> T:
    """Run ``do`` on the opened data folder; raises Failure with one line for people."""
    return in_world(quiet(config, data), do)


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows as JSON, or as a table with their keys as its head."""
    if as_json:
        emit(rows)
    elif not rows:
        console.print(empty)
    else:
        console.print(table(rows))


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table of rows that have the same keys."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in rows[0]:
        made.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        made.add_row(*(_cell(value) for value in row.values()))
    return made


def emit(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value)


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None or value is False:
        return "-"
    if value is True:
        return "yes"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, Mapping):
        return escape(", ".join(f"{key}={_cell(each)}" for key, each in value.items())) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(each) for each in value) or "-"
    return escape(str(value))


def password(name: str, *, from_input: bool) -> str:
    """A password from standard input or the keyboard, never from the arguments."""
    if from_input:
        return typer.get_text_stream("stdin").readline().rstrip("\r\n")
    typed: str = typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True)
    return typed


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone; raises Failure where nobody agrees."""
    if not yes and not typer.confirm(question):
        raise Failure("nothing was done")


def bar(*columns: ProgressColumn) -> Progress:
    """A progress bar on standard error; standard output stays for results."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), *columns, TimeRemainingColumn(), console=Console(stderr=True)
    )
