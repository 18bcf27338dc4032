"""`reliquary token`: tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reliquary.access import spans
from reliquary.access.accounts import ADMIN
from reliquary.access.tokens import format_scope, parse_scope
from reliquary.catalog.records import TokenRow
from reliquary.cli.common import console
from reliquary.cli.options import OWNER, AsJson, Config, Data, emit, show, work
from reliquary.cli.user import accounts

if TYPE_CHECKING:
    from reliquary.app import World

app = typer.Typer(help="Tokens: passwords for programs.", no_args_is_help=True)


def summary(token: TokenRow) -> dict[str, Any]:
    """A token as it is shown: never its text or its hash."""
    return {
        "id": token.id,
        "name": token.name,
        "user": token.user,
        "begins": token.prefix,
        "scopes": None if token.scopes is None else [format_scope(scope) for scope in token.scopes],
        "created": token.created,
        "expires": token.expires,
        "last_used": token.last_used,
        "revoked": token.revoked,
    }


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.")],
    user: Annotated[str, typer.Option("--user", help="Whose it is.")] = ADMIN,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="actions:repositories:packages, as read,publish:pypi/local:acme-*"),
    ] = None,
    expires: Annotated[str | None, typer.Option("--expires", help="After which time it ends: 12h, 90d, 6w.")] = None,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a token and print it, this once."""

    async def make(world: World) -> tuple[str, TokenRow]:
        scopes = [parse_scope(text) for text in scope] if scope else None
        ends = spans.end(expires, world.context.now()) if expires else None
        return await accounts(world).create_token(OWNER, name, user=user, scopes=scopes, expires=ends)

    text, row = work(config, data, make)
    if as_json:
        emit({**summary(row), "token": text})
    else:
        typer.echo(text)


@app.command("list")
def list_(
    user: Annotated[str | None, typer.Option("--user", help="Only this user's.")] = None,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """List tokens; their texts are not known any more."""

    async def all_(world: World) -> list[dict[str, Any]]:
        snapshot = await world.context.catalog.accounts.snapshot()
        return [summary(token) for token in snapshot.tokens if user in (None, token.user)]

    show(work(config, data, all_), as_json=as_json, empty="no tokens")


@app.command("revoke")
def revoke(
    token_id: Annotated[int, typer.Argument(metavar="ID", help="As reliquary token list shows it.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """End a token at once."""

    async def end(world: World) -> None:
        await accounts(world).revoke_token(OWNER, token_id)

    work(config, data, end)
    console.print(f"revoked {token_id}")
