"""The command line."""

from __future__ import annotations

import typer

from reliquary.cli.serve import serve

app = typer.Typer(
    name="reliquary",
    help="A self-hosted repository for every package a team uses.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(serve)


@app.callback()
def reliquary() -> None:
    """A self-hosted repository for every package a team uses."""


def main() -> None:
    """Entry point of the console script."""
    app()
