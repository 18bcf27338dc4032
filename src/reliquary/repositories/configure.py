"""Making, changing and deleting repositories: one set of checks for the command line and the API."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from reliquary.catalog.engine import Catalog
from reliquary.errors import Conflict, Malformed, NotHere
from reliquary.settings import Options, RepositoryDeclaration, Settings, UpstreamDeclaration
from reliquary.types import Kind, Remote, RepositorySpec, Rule, Verdict

FIXED = ("format", "name", "kind")
"""What stays as it was made: addresses and rows hang on it."""


def parse(values: Mapping[str, Any]) -> RepositoryDeclaration:
    """Read a repository as the settings file spells one (docs/settings.md, "Repositories").

    Raises:
        Malformed: naming what is wrong; values stay out of the text, they may be secrets.
    """
    try:
        return RepositoryDeclaration.model_validate(values)
    except ValidationError as error:
        raise Malformed("; ".join(map(_line, error.errors(include_input=False, include_url=False)))) from None


def _line(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def as_values(spec: RepositorySpec) -> dict[str, Any]:
    """A repository as `parse` reads it, passwords included."""
    values: dict[str, Any] = {
        **spec.options,
        "format": spec.format,
        "name": spec.name,
        "kind": spec.kind.value,
        "members": spec.members,
        "rules": [{"verdict": rule.verdict.value, "pattern": rule.pattern} for rule in spec.rules],
        "anonymous_read": spec.anonymous_read,
    }
    if spec.kind is Kind.PROXY:
        values["upstream"] = [
            {"url": remote.url, "username": remote.username, "password": remote.password} for remote in spec.remotes
        ]
    return values


def find(specs: Sequence[RepositorySpec], title: str) -> RepositorySpec:
    """The repository ``format/name``; raises NotHere."""
    for spec in specs:
        if spec.title == title:
            return spec
    raise NotHere(f"there is no repository {title}")


async def create(
    catalog: Catalog, formats: Collection[str], settings: Settings, values: Mapping[str, Any]
) -> RepositorySpec:
    """Make a repository.

    Args:
        formats: names of the formats there are.
        settings: says the upstreams of a proxy that names none.
        values: as `parse` reads them.

    Raises:
        Malformed: a value is wrong, or there is no such format.
        Conflict: the name is taken, a member does not exist, members go in a circle.
    """
    declared = parse(values)
    if declared.format not in formats:
        raise Malformed(f"there is no format {declared.format}; there are {', '.join(sorted(formats))}")
    specs = await catalog.repositories.all()
    spec = spec_of(declared, _remotes(declared, specs, settings))
    _check_members(spec, specs)
    return await catalog.repositories.create(spec)


async def change(catalog: Catalog, title: str, changes: Mapping[str, Any]) -> RepositorySpec:
    """Change a repository.

    Args:
        title: ``format/name``.
        changes: what `parse` reads, only that which changes; None takes an option back.

    Raises:
        NotHere: there is no such repository.
        Malformed: a value is wrong.
        Conflict: it is declared, a fixed value would change, members do not exist or go in a circle.
    """
    specs = await catalog.repositories.all()
    spec = _editable(find(specs, title))
    values = as_values(spec)
    fixed = [name for name in FIXED if changes.get(name, values[name]) != values[name]]
    if fixed:
        raise Conflict(f"{', '.join(fixed)} of {title} cannot change; make another repository")
    merged = {**values, **{name: value for name, value in changes.items() if name != "upstream" or value is not None}}
    declared = parse(
        {name: value for name, value in merged.items() if name not in Options.model_fields or value is not None}
    )
    changed = replace(spec_of(declared, _kept_sources(declared, spec)), id=spec.id)
    _check_members(changed, specs)
    return await catalog.repositories.save(changed)


async def delete(catalog: Catalog, title: str, *, force: bool = False) -> None:
    """Delete a repository with all it holds.

    Args:
        force: also when it is hosted and holds packages.

    Raises:
        NotHere: there is no such repository.
        Conflict: it is declared, a declared group names it, or it holds packages and ``force`` is off.
    """
    specs = await catalog.repositories.all()
    spec = _editable(find(specs, title))
    for group in specs:
        if group.declared and group.format == spec.format and spec.name in group.members:
            raise Conflict(f"{title} is a member of {group.title}, which is declared in the settings", code="declared")
    if spec.kind is Kind.HOSTED and not force:
        names = [name for name, _ in await catalog.packages.packages(spec.id)]
        held = await catalog.files.owned([spec.id], names)
        if held:
            raise Conflict(f"{title} holds {len(held)} packages; deleting it needs force", code="not-empty")
    await catalog.repositories.delete(spec.id)


def _editable(spec: RepositorySpec) -> RepositorySpec:
    if spec.declared:
        raise Conflict(f"{spec.title} is declared in the settings; change it there", code="declared")
    return spec


def spec_of(declared: RepositoryDeclaration, remotes: tuple[Remote, ...]) -> RepositorySpec:
    """A repository as it is declared, without an id yet."""
    return RepositorySpec(
        id=0,
        format=declared.format,
        name=declared.name,
        kind=Kind(declared.kind),
        remotes=remotes,
        members=declared.members,
        rules=tuple(Rule(Verdict(rule.verdict), rule.pattern) for rule in declared.rules),
        options=declared.options,
        anonymous_read=declared.anonymous_read,
    )


def remote_of(declared: UpstreamDeclaration, source: str) -> Remote:
    """A declared address as the catalog keeps it; ``source`` tells where it was found."""
    password = declared.password.get_secret_value() if declared.password else None
    return Remote(declared.url, source, declared.username, password)


def _remotes(
    declared: RepositoryDeclaration, specs: Sequence[RepositorySpec], settings: Settings
) -> tuple[Remote, ...]:
    """Where a new proxy asks: what it says, else the settings, else the format's first proxy."""
    if declared.upstream is not None:
        return tuple(remote_of(each, "given") for each in declared.upstream)
    if declared.kind != "proxy":
        return ()
    if declared.format in settings.upstreams:
        return tuple(remote_of(each, "settings") for each in settings.upstreams[declared.format])
    proxies = [spec for spec in specs if spec.format == declared.format and spec.remotes]
    if not proxies:
        raise Malformed(f'upstream: say where {declared.format}/{declared.name} fetches from, or "none"')
    return proxies[0].remotes


def _kept_sources(declared: RepositoryDeclaration, before: RepositorySpec) -> tuple[Remote, ...]:
    """The upstreams of a changed proxy; those that stay keep the note where they were found."""
    known = {(remote.url, remote.username, remote.password): remote for remote in before.remotes}
    fresh = [remote_of(each, "given") for each in declared.upstream or ()]
    return tuple(known.get((remote.url, remote.username, remote.password), remote) for remote in fresh)


def _check_members(spec: RepositorySpec, specs: Sequence[RepositorySpec]) -> None:
    """Raises Malformed for one named twice, Conflict for unknown ones and for circles."""
    if len({*spec.members}) != len(spec.members):
        raise Malformed(f"{spec.title} names a member twice")
    inside = {each.name: each.members for each in specs if each.format == spec.format}
    inside[spec.name] = spec.members
    unknown = [name for name in spec.members if name not in inside]
    if unknown:
        raise Conflict(f"{spec.title} names members that do not exist: {', '.join(unknown)}")
    todo, seen = list(spec.members), set[str]()
    while todo:
        name = todo.pop()
        if name == spec.name:
            raise Conflict(f"{spec.title} would hold itself: its members go in a circle")
        if name not in seen:
            seen.add(name)
            todo += inside[name]
