"""`reliquary package`: verbs on what is published, each carried out by its format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from reliquary.cli.common import console
from reliquary.cli.options import OWNER, Config, Data, Title, Yes, confirm, work
from reliquary.errors import NotHere
from reliquary.jobs import calls
from reliquary.repositories.base import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from reliquary.app import World

app = typer.Typer(help="Yank, delete and mark what is published.", no_args_is_help=True)

Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="The package.")]
Version: TypeAlias = Annotated[str, typer.Argument(metavar="VERSION", help="The version.")]
File: TypeAlias = Annotated[str | None, typer.Option("--file", help="Only this file of the version.")]


@app.command("yank")
def yank(
    repo: Title,
    name: Name,
    version: Version,
    reason: Annotated[str, typer.Option("--reason", help="Shown by installers.")] = "",
    file: File = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Keep installers from a version that nobody asks for exactly."""
    _manage(config, data, repo, "PUT", (name, version, "yank"), reason.encode(), file)
    console.print(f"yanked {name} {version}", markup=False)


@app.command("unyank")
def unyank(
    repo: Title, name: Name, version: Version, file: File = None, data: Data = None, config: Config = None
) -> None:
    """Take a yank back."""
    _manage(config, data, repo, "DELETE", (name, version, "yank"), b"", file)
    console.print(f"{name} {version} is not yanked any more", markup=False)


@app.command("delete")
def delete(
    repo: Title,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The package; without a version, the path of a file.")],
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="The version.")] = None,
    file: File = None,
    yes: Yes = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Delete a version, or one file by its path below the repository."""
    confirm(f"Delete {name} {version or ''} from {repo}?", yes=yes)
    if version is None:
        work(config, data, lambda world: _delete_file(world, repo, name))
    else:
        _manage(config, data, repo, "DELETE", (name, version), b"", file)
    console.print(f"deleted {name} {version or ''}".rstrip(), markup=False)


@app.command("status")
def status(
    repo: Title,
    name: Name,
    status: Annotated[str, typer.Argument(metavar="STATUS", help="active, deprecated, archived or quarantined.")],
    reason: Annotated[str | None, typer.Option("--reason", help="Why.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Say in which state a project is."""
    body = json.dumps({"status": status, "reason": reason}).encode()
    _manage(config, data, repo, "PUT", (name, "status"), body, None)
    console.print(f"{name} is {status}", markup=False)


def _manage(
    config: Path | None,
    data: Path | None,
    repo: str,
    method: str,
    rest: tuple[str, ...],
    body: bytes,
    file: str | None,
) -> None:
    query = {"filename": file} if file else {}
    segments = ("manage", *rest)

    async def act(world: World) -> None:
        repository = _repository(world, repo)
        call = calls.verb(repository.format, method, segments, query)
        incoming = calls.InsideIncoming(method, segments, body, query)
        await calls.run(repository, call, incoming, publisher=OWNER.name)

    work(config, data, act)


async def _delete_file(world: World, repo: str, path: str) -> None:
    repository = _repository(world, repo)
    call, segments = calls.deletion(repository.format, path)
    await calls.run(repository, call, calls.InsideIncoming("DELETE", segments), publisher=OWNER.name)


def _repository(world: World, title: str) -> Repository:
    format, _, name = title.partition("/")
    found = world.state.estate.get(format, name)
    if found is None:
        raise NotHere(f"there is no repository {title}; reliquary repo list shows them")
    return found
