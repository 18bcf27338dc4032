"""`reliquary repo`: repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from reliquary.cli.common import Failure, console
from reliquary.cli.options import AsJson, Config, Data, Title, Yes, confirm, emit, show, work
from reliquary.repositories import configure
from reliquary.settings import Options
from reliquary.types import RepositorySpec

if TYPE_CHECKING:
    from reliquary.app import World

app = typer.Typer(help="Make, list, change and delete repositories.", no_args_is_help=True)

Upstream: TypeAlias = Annotated[
    list[str] | None, typer.Option("--upstream", help='Proxy: address to fetch from, in order; or "none".')
]
Member: TypeAlias = Annotated[list[str] | None, typer.Option("--member", help="Group: a member's name, in order.")]
RuleText: TypeAlias = Annotated[
    list[str] | None, typer.Option("--rule", help="verdict:pattern (allow, deny or owned), in order.")
]
Switch: TypeAlias = Annotated[
    list[str] | None, typer.Option("--option", help="name=value of docs/settings.md; without value: its default.")
]
Anonymous: TypeAlias = Annotated[
    bool | None, typer.Option("--public/--closed", help="Whether anybody may read without credentials.")
]
UpstreamUser: TypeAlias = Annotated[
    str | None, typer.Option("--upstream-user", help="User name that the upstream is asked with.")
]
UpstreamPassword: TypeAlias = Annotated[
    bool, typer.Option("--upstream-password-stdin", help="Read the upstream's password from standard input.")
]


def summary(spec: RepositorySpec) -> dict[str, Any]:
    """A repository as it is shown; no passwords."""
    return {
        "repository": spec.title,
        "kind": spec.kind.value,
        "upstream": [remote.url for remote in spec.remotes],
        "members": list(spec.members),
        "rules": [f"{rule.verdict.value}:{rule.pattern}" for rule in spec.rules],
        "options": dict(spec.options),
        "anonymous_read": spec.anonymous_read,
        "declared": spec.declared,
    }


@app.command("list")
def list_(as_json: AsJson = False, data: Data = None, config: Config = None) -> None:
    """List every repository."""

    async def all_(world: World) -> list[dict[str, Any]]:
        return [summary(spec) for spec in world.state.specs()]

    show(work(config, data, all_), as_json=as_json, empty="no repositories")


@app.command("show")
def show_(repo: Title, as_json: AsJson = False, data: Data = None, config: Config = None) -> None:
    """Show one repository, with the bytes it holds."""

    async def one(world: World) -> dict[str, Any]:
        spec = configure.find(world.state.specs(), repo)
        catalog = world.context.catalog
        held = await catalog.files.owned([spec.id], [name for name, _ in await catalog.packages.packages(spec.id)])
        return {**summary(spec), "packages": len(held), "bytes": await catalog.files.usage(spec.id)}

    shown = work(config, data, one)
    if as_json:
        emit(shown)
    else:
        show([{"": name, " ": value} for name, value in shown.items()], as_json=False, empty="")


@app.command("create")
def create(
    repo: Title,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="hosted, proxy or group.")],
    upstream: Upstream = None,
    upstream_user: UpstreamUser = None,
    upstream_password_stdin: UpstreamPassword = False,
    member: Member = None,
    rule: RuleText = None,
    option: Switch = None,
    public: Anonymous = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a repository."""
    format, _, name = repo.partition("/")
    addresses = _upstreams(upstream, upstream_user, upstream_password_stdin)
    values = {"format": format, "name": name, "kind": kind, **_changes(addresses, member, rule, option, public)}
    values = {key: value for key, value in values.items() if value is not None}

    async def make(world: World) -> RepositorySpec:
        return await configure.create(world.context.catalog, world.formats, world.settings, values)

    spec = work(config, data, make)
    console.print(f"made {spec.title} ({spec.kind.value})")


@app.command("set")
def set_(
    repo: Title,
    upstream: Upstream = None,
    upstream_user: UpstreamUser = None,
    upstream_password_stdin: UpstreamPassword = False,
    member: Member = None,
    rule: RuleText = None,
    option: Switch = None,
    public: Anonymous = None,
    no_members: Annotated[bool, typer.Option("--no-members", help="Group: take every member out.")] = False,
    no_rules: Annotated[bool, typer.Option("--no-rules", help="Take every rule back.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Change a repository; lists that are given replace those there were."""
    addresses = _upstreams(upstream, upstream_user, upstream_password_stdin)
    changes = _changes(addresses, member, rule, option, public)
    changes |= {"members": []} if no_members else {}
    changes |= {"rules": []} if no_rules else {}
    if not changes:
        raise Failure("nothing to change was given; see reliquary repo set --help")

    async def change(world: World) -> RepositorySpec:
        return await configure.change(world.context.catalog, repo, changes)

    console.print(f"changed {work(config, data, change).title}")


@app.command("delete")
def delete(
    repo: Title,
    force: Annotated[bool, typer.Option("--force", help="Also when it holds published packages.")] = False,
    yes: Yes = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Delete a repository and all it holds."""
    confirm(f"Delete {repo} with all it holds?", yes=yes)

    async def gone(world: World) -> None:
        await configure.delete(world.context.catalog, repo, force=force)

    work(config, data, gone)
    console.print(f"deleted {repo}; reliquary gc frees its bytes")


def _upstreams(urls: list[str] | None, user: str | None, from_input: bool) -> Any:
    """Upstreams as the settings spell them; credentials belong to a single one."""
    if urls is None:
        if user or from_input:
            raise Failure("an upstream's user and password need its address: give --upstream")
        return None
    if urls == ["none"]:
        return "none"
    if not (user or from_input):
        return urls
    if len(urls) != 1:
        raise Failure("credentials can be given for a single --upstream only")
    password = typer.get_text_stream("stdin").readline().rstrip("\r\n") if from_input else None
    return [{"url": urls[0], "username": user, "password": password}]


def _changes(
    upstream: Any, members: list[str] | None, rules: list[str] | None, options: list[str] | None, public: bool | None
) -> dict[str, Any]:
    """What the options say, as `configure.parse` reads it."""
    given = {
        "upstream": upstream,
        "members": members,
        "rules": [_rule(text) for text in rules] if rules else None,
        "anonymous_read": public,
    }
    return {name: value for name, value in given.items() if value is not None} | _options(options or [])


def _rule(text: str) -> dict[str, str]:
    verdict, colon, pattern = text.partition(":")
    if not colon:
        raise Failure(f"{text} is no rule: write verdict:pattern, for instance deny:acme-*")
    return {"verdict": verdict, "pattern": pattern}


def _options(texts: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in Options.model_fields:
            raise Failure(f"{text} is no option; there are {', '.join(Options.model_fields)}, each as name=value")
        plural = "tuple" in str(Options.model_fields[name].annotation)
        found[name] = (value.split(",") if plural else value) if value else None
    return found
