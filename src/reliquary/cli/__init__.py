"""The command line."""

from __future__ import annotations

import os
import sys

import typer

from reliquary.cli import package, repo, token, user
from reliquary.cli.common import Failure
from reliquary.cli.doctor import doctor
from reliquary.cli.imports import import_
from reliquary.cli.maintain import gc, purge, refresh, verify
from reliquary.cli.serve import serve
from reliquary.cli.upstreams import upstreams
from reliquary.failpoints import arm

app = typer.Typer(
    name="reliquary",
    help="A self-hosted repository for every package a team uses.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(serve)
app.add_typer(repo.app, name="repo")
app.add_typer(user.app, name="user")
app.add_typer(token.app, name="token")
app.add_typer(package.app, name="package")
app.command("import")(import_)
for command in (refresh, purge, gc, verify, doctor, upstreams):
    app.command()(command)


@app.callback()
def reliquary() -> None:
    """A self-hosted repository for every package a team uses."""


def main() -> None:
    """Entry point of the console script."""
    try:
        arm(os.environ)
    except ValueError as error:
        sys.exit(f"Error: {error}")
    try:
        app()
    except Failure as failure:
        typer.echo(f"Error: {failure}", err=True)
        sys.exit(1)
