"""`reliquary user`: accounts and their grants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reliquary.access import declared
from reliquary.access.accounts import Accounts
from reliquary.access.passwords import Passwords
from reliquary.access.tokens import parse_scope
from reliquary.cli.common import console
from reliquary.cli.options import OWNER, AsJson, Config, Data, FromInput, Yes, confirm, password, show, work
from reliquary.errors import NotHere
from reliquary.types import Grant

if TYPE_CHECKING:
    from reliquary.app import World

app = typer.Typer(help="Accounts, and what they may do.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the user logs in with.")]


def accounts(world: World) -> Accounts:
    """Accounts as commands change them."""
    return Accounts(world.context.catalog, Passwords())


@app.command("add")
def add(
    name: Name,
    admin: Annotated[bool, typer.Option("--admin", help="May do everything everywhere.")] = False,
    no_password: Annotated[bool, typer.Option("--no-password", help="Only tokens open the account.")] = False,
    password_stdin: FromInput = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Add a user."""
    secret = None if no_password else password(name, from_input=password_stdin)

    async def make(world: World) -> None:
        declared.refuse_user(world.settings, name)
        await accounts(world).create_user(OWNER, name, secret, admin=admin)

    work(config, data, make)
    console.print(f"added {name}")


@app.command("list")
def list_(as_json: AsJson = False, data: Data = None, config: Config = None) -> None:
    """List users with their grants."""

    async def all_(world: World) -> list[dict[str, Any]]:
        snapshot = await world.context.catalog.accounts.snapshot()
        return [
            {
                "name": user.name,
                "admin": user.admin,
                "disabled": user.disabled,
                "password": user.password_hash is not None,
                "created": user.created,
                "grants": [described(grant) for grant in snapshot.grants if grant.user == user.name],
                "declared": declared.user(world.settings, user.name),
                "grants_declared": declared.grants(world.settings, user.name),
            }
            for user in snapshot.users
        ]

    show(work(config, data, all_), as_json=as_json, empty="no users")


def described(grant: Grant) -> str:
    """A grant as a line: actions:repositories:packages."""
    return f"{','.join(sorted(grant.actions))}:{grant.repositories}:{grant.packages}"


@app.command("passwd")
def passwd(
    name: Name,
    no_password: Annotated[bool, typer.Option("--no-password", help="Only tokens open the account.")] = False,
    password_stdin: FromInput = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Set a user's password."""
    secret = None if no_password else password(name, from_input=password_stdin)

    async def change(world: World) -> None:
        declared.refuse_user(world.settings, name)
        await accounts(world).change_password(OWNER, name, secret)

    work(config, data, change)
    console.print(f"changed the password of {name}")


@app.command("delete")
def delete(name: Name, yes: Yes = False, data: Data = None, config: Config = None) -> None:
    """Delete a user with tokens and grants."""
    confirm(f"Delete the user {name} with all tokens?", yes=yes)

    async def gone(world: World) -> None:
        declared.refuse_user(world.settings, name)
        await accounts(world).delete_user(OWNER, name)

    work(config, data, gone)
    console.print(f"deleted {name}")


@app.command("grant")
def grant(
    user: Name,
    repos: Annotated[str, typer.Argument(metavar="REPOS", help="Glob on format/name.")],
    actions: Annotated[str, typer.Argument(metavar="ACTIONS", help="read, publish, delete, admin, with commas.")],
    packages: Annotated[str, typer.Option("--packages", help="Glob on names; binds publish and delete.")] = "*",
    data: Data = None,
    config: Config = None,
) -> None:
    """Allow a user something; the same repositories and packages again replace the actions."""

    async def give(world: World) -> None:
        given = Grant(user, repos, parse_scope(actions).actions, packages)
        kept = [each for each in await _grants(world, user) if (each.repositories, each.packages) != (repos, packages)]
        await accounts(world).set_grants(OWNER, user, [*kept, given])

    work(config, data, give)
    console.print(f"{user} may {actions} in {repos}")


@app.command("revoke")
def revoke(
    user: Name,
    repos: Annotated[str, typer.Argument(metavar="REPOS", help="The glob that was granted.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Take back what was granted on a glob of repositories."""

    async def take(world: World) -> None:
        before = await _grants(world, user)
        kept = [each for each in before if each.repositories != repos]
        if len(kept) == len(before):
            raise NotHere(f"{user} has no grant on {repos}")
        await accounts(world).set_grants(OWNER, user, kept)

    work(config, data, take)
    console.print(f"{user} has no grant on {repos} any more")


async def _grants(world: World, user: str) -> list[Grant]:
    declared.refuse_grants(world.settings, user)
    snapshot = await world.context.catalog.accounts.snapshot()
    return [each for each in snapshot.grants if each.user == user]
