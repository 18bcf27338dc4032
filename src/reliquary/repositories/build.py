"""Building repositories from their specs: the only place that names the concrete kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reliquary.formats.base import Format
from reliquary.repositories.base import Repository
from reliquary.repositories.context import Context
from reliquary.repositories.group import Group
from reliquary.repositories.hosted import Hosted
from reliquary.repositories.proxy import Proxy
from reliquary.types import Kind, Remote, RepositorySpec
from reliquary.upstream.base import Upstream

Dial = Callable[[Remote, RepositorySpec], Upstream]
"""Makes (or finds again) the client of one upstream."""
Visible = Callable[[RepositorySpec, RepositorySpec], bool]
"""Whether everyone who may read the group may read the member."""


@dataclass(frozen=True, slots=True)
class Estate:
    """An immutable snapshot of every repository; it is swapped whole when the configuration changes."""

    repositories: Mapping[tuple[str, str], Repository]
    specs: Sequence[RepositorySpec]

    def get(self, format: str, name: str) -> Repository | None:
        """The repository at ``/{format}/{name}/``, or None."""
        return self.repositories.get((format, name))

    def around(self, repository_id: int) -> tuple[int, ...]:
        """Ids of all groups that hold the repository, directly or not."""
        return around(self.specs, repository_id)


def around(specs: Sequence[RepositorySpec], repository_id: int) -> tuple[int, ...]:
    """Ids of all groups that hold the repository, directly or not."""
    by_id = {spec.id: spec for spec in specs}
    found: dict[int, None] = {}
    todo = [by_id[repository_id]] if repository_id in by_id else []
    while todo:
        inner = todo.pop()
        for spec in specs:
            if spec.format == inner.format and inner.name in spec.members and spec.id not in found:
                found[spec.id] = None
                todo.append(spec)
    return tuple(found)


def build(
    specs: Sequence[RepositorySpec],
    formats: Mapping[str, Format],
    context: Context,
    dial: Dial,
    visible: Visible = lambda group, member: True,
) -> Estate:
    """Make every repository, groups after their members; members of a circle are left out."""
    made: dict[tuple[str, str], Repository] = {}
    by_name = {(spec.format, spec.name): spec for spec in specs if spec.format in formats}

    def make(spec: RepositorySpec, path: tuple[str, ...]) -> Repository:
        at = (spec.format, spec.name)
        if at not in made:
            made[at] = _one(spec, path)
        return made[at]

    def _one(spec: RepositorySpec, path: tuple[str, ...]) -> Repository:
        format, groups = formats[spec.format], around(specs, spec.id)
        if spec.kind is Kind.HOSTED:
            return Hosted(spec, format, context, groups)
        if spec.kind is Kind.PROXY:
            return Proxy(spec, format, context, [dial(remote, spec) for remote in spec.remotes], groups)
        inside = [by_name[spec.format, name] for name in spec.members if (spec.format, name) in by_name]
        inside = [each for each in inside if each.name not in path]
        shown = [make(each, (*path, spec.name)) for each in inside if visible(spec, each)]
        hidden = [make(each, (*path, spec.name)) for each in inside if not visible(spec, each)]
        return Group(spec, format, context, shown, hidden)

    for spec in by_name.values():
        make(spec, (spec.name,))
    return Estate(made, specs)
