"""Repositories and their upstreams through the API."""

from __future__ import annotations

from reliquary.errors import NotHere
from reliquary.repositories import configure
from reliquary.settings import RepositoryDeclaration
from reliquary.types import Action, Kind, Remote, RepositorySpec
from reliquary.web.api import operations
from reliquary.web.api.models import RepositoryChange, RepositoryShown, RuleShown, UpstreamRow, UpstreamShown
from reliquary.web.api.operations import Ask, Made, Operation


def shown(ask: Ask, spec: RepositorySpec) -> RepositoryShown:
    """A repository as this caller may see it."""
    whole = operations.may_change(ask, spec)
    return RepositoryShown(
        format=spec.format,
        name=spec.name,
        kind=spec.kind.value,
        url=f"{ask.origin}{spec.title}/",
        anonymous_read=spec.anonymous_read,
        declared=spec.declared,
        members=[name for name in spec.members if _readable(ask, spec.format, name)],
        upstream=[_upstream(remote) for remote in spec.remotes] if whole else None,
        rules=[RuleShown(verdict=rule.verdict.value, pattern=rule.pattern) for rule in spec.rules] if whole else None,
        options=dict(spec.options) if whole else None,
    )


def _readable(ask: Ask, format: str, name: str) -> bool:
    found = ask.state.estate.get(format, name)
    return found is not None and ask.state.access.may(ask.actor, Action.READ, found.spec)


def _upstream(remote: Remote) -> UpstreamShown:
    return UpstreamShown(url=remote.url, source=remote.source, credentials=bool(remote.username or remote.password))


async def every(ask: Ask) -> list[RepositoryShown]:
    """The repositories the caller may read."""
    return [shown(ask, spec) for spec in ask.state.access.readable(ask.actor)]


async def one(ask: Ask) -> RepositoryShown:
    """One repository."""
    return shown(ask, operations.repository(ask).spec)


async def create(ask: Ask) -> Made:
    """Make a repository."""
    wanted = RepositorySpec(0, ask.body.format, ask.body.name, Kind(ask.body.kind), anonymous_read=False)
    operations.require_change(ask, wanted)
    spec = await configure.create(ask.state.context.catalog, ask.state.formats, ask.settings, ask.raw)
    await ask.state.settle()
    return Made(shown(ask, spec), f"/repositories/{spec.title}")


async def change(ask: Ask) -> RepositoryShown:
    """Change a repository."""
    spec = _configurable(ask)
    changed = await configure.change(ask.state.context.catalog, spec.title, ask.raw)
    await ask.state.settle()
    return shown(ask, changed)


async def delete(ask: Ask) -> None:
    """Delete a repository with all it holds."""
    spec = _configurable(ask)
    force = ask.query.get("force", "").lower() in ("1", "true", "yes")
    await configure.delete(ask.state.context.catalog, spec.title, force=force)
    await ask.state.settle()


def _configurable(ask: Ask) -> RepositorySpec:
    found = ask.state.estate.get(ask.path["format"], ask.path["name"])
    if found is None:
        operations.require_known(ask)
        raise NotHere(f"there is no repository {ask.path['format']}/{ask.path['name']}")
    operations.require_change(ask, found.spec)
    return configure.find(ask.state.specs(), found.spec.title)


async def upstreams(ask: Ask) -> list[UpstreamRow]:
    """What proxies ask, and where the address was found."""
    operations.require_admin(ask)
    return [
        UpstreamRow(repository=spec.title, **_upstream(remote).model_dump())
        for spec in ask.state.specs()
        for remote in spec.remotes
    ]


OPERATIONS = (
    Operation("GET", "/repositories", "List the repositories one may read", every, list[RepositoryShown]),
    Operation(
        "POST", "/repositories", "Make a repository", create, RepositoryShown, status=201, body=RepositoryDeclaration
    ),
    Operation("GET", "/repositories/{format}/{name}", "Show a repository", one, RepositoryShown),
    Operation(
        "PATCH", "/repositories/{format}/{name}", "Change a repository", change, RepositoryShown, body=RepositoryChange
    ),
    Operation(
        "DELETE",
        "/repositories/{format}/{name}",
        "Delete a repository with all it holds",
        delete,
        status=204,
        query={"force": "true: also when it holds published packages"},
    ),
    Operation("GET", "/upstreams", "List upstreams and where they were found", upstreams, list[UpstreamRow]),
)
