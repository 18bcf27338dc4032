"""Packages through the API: what is there, where it came from, and the verbs of their formats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

from reliquary.errors import NotHere
from reliquary.formats.base import Call
from reliquary.jobs import calls
from reliquary.repositories import rules
from reliquary.repositories.base import Repository
from reliquary.repositories.group import Group
from reliquary.repositories.looking import visible
from reliquary.types import Action, Kind, RepositorySpec, StoredFile
from reliquary.web.api import operations
from reliquary.web.api.models import (
    FileShown,
    Origin,
    PackageList,
    PackageRow,
    PackageShown,
    StatusNew,
    VersionShown,
    Yank,
)
from reliquary.web.api.operations import Ask, Operation

SHOWN = 1000
FILE = {"file": "only the file of this name"}
AT = "/repositories/{format}/{name}/packages"


async def every(ask: Ask) -> PackageList:
    """Packages that have files here, by name."""
    found: dict[str, set[str]] = {}
    await _collect(ask, operations.repository(ask), found)
    after, most = ask.query.get("after", ""), operations.limit(ask, SHOWN)
    names = sorted(name for name in found if name > after)
    rows = [PackageRow(name=name, repositories=sorted(found[name])) for name in names[:most]]
    return PackageList(packages=rows, next=names[most - 1] if len(names) > most else None)


async def _collect(ask: Ask, repository: Repository, found: dict[str, set[str]]) -> None:
    """Names by the repositories that hold them; what a rule hides on the way stays hidden."""
    spec = repository.spec
    if not ask.state.access.may(ask.actor, Action.READ, spec):
        return
    if isinstance(repository, Group):
        for member in repository.members:
            inner: dict[str, set[str]] = {}
            await _collect(ask, member, inner)
            for name in await _open(repository, member, inner):
                found.setdefault(name, set()).update(inner[name])
        return
    catalog = ask.state.context.catalog
    names = [name for name, _ in await catalog.packages.packages(spec.id)]
    for _, name in await catalog.files.owned([spec.id], names):
        if spec.kind is Kind.HOSTED or rules.admits(spec.rules, name):
            found.setdefault(name, set()).add(spec.title)


async def _open(group: Group, member: Repository, names: Iterable[str]) -> list[str]:
    """Those names that the group takes from this member (see `Group.chosen`)."""
    givers = await group.givers(set(names))
    return [name for name, members in givers.items() if member in (members or ())]


async def _holders(ask: Ask, repository: Repository, name: str) -> list[Repository]:
    """The repositories whose rows may answer for a name, in order."""
    if not ask.state.access.may(ask.actor, Action.READ, repository.spec):
        return []
    if isinstance(repository, Group):
        members = await repository.chosen(name)
        return [holder for member in members for holder in await _holders(ask, member, name)]
    if repository.spec.kind is Kind.PROXY and not rules.admits(repository.spec.rules, name):
        return []
    return [repository]


async def one(ask: Ask) -> PackageShown:
    """One package with versions, files and where they came from."""
    repository = operations.repository(ask)
    asked = ask.path["package"]
    name = repository.format.normalise(asked)
    catalog = ask.state.context.catalog
    rows: dict[str, tuple[RepositorySpec, StoredFile]] = {}
    downloads: dict[int, dict[str, int]] = {}
    properties: dict[str, str] = {}
    for holder in await _holders(ask, repository, name):
        for row in await holder.rows(asked):
            rows.setdefault(row.entry.filename, (holder.spec, row))
        downloads[holder.spec.id] = await catalog.files.downloads(holder.spec.id, name)
        facts = visible(await catalog.packages.properties(holder.spec.id, name))
        properties = properties or facts
    if not rows:
        raise NotHere(f"{repository.spec.title} knows no package {name}")
    return PackageShown(
        name=name,
        repositories=sorted({spec.title for spec, _ in rows.values()}),
        properties=properties,
        versions=_versions(list(rows.values()), downloads, known=ask.actor.name is not None),
    )


def _versions(
    rows: Sequence[tuple[RepositorySpec, StoredFile]], downloads: Mapping[int, Mapping[str, int]], *, known: bool
) -> list[VersionShown]:
    """Versions in the order they were first known. Upstream addresses and people's names are for
    callers who are ``known``."""
    found: dict[str, list[FileShown]] = {}
    for spec, row in rows:
        found.setdefault(row.entry.version, []).append(
            _file(spec, row, downloads[spec.id].get(row.entry.key, 0), known=known)
        )
    return [VersionShown(version=version, files=files) for version, files in found.items()]


def _file(spec: RepositorySpec, row: StoredFile, downloads: int, *, known: bool) -> FileShown:
    entry = row.entry
    digests = dict(entry.digests) | ({"sha256": row.blob} if row.blob else {})
    return FileShown(
        filename=entry.filename,
        path=entry.key,
        repository=spec.title,
        size=row.size if row.blob else entry.size,
        digests=digests,
        stored=row.blob is not None,
        listed=entry.listed,
        published=entry.published,
        downloads=downloads,
        origin=Origin(
            url=_plain(entry.url) if entry.url and known else None,
            first_seen=row.first_seen,
            fetched_at=row.fetched_at,
            verified_by=row.verified_by,
            publisher=row.publisher if known else None,
        ),
    )


def _plain(url: str) -> str:
    """An address without credentials and without query, which may be a signature."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


async def yank(ask: Ask) -> None:
    """Keep installers from a version."""
    reason = ask.body.reason.encode(errors="replace")
    await _manage(ask, "PUT", (ask.path["version"], "yank"), reason)


async def unyank(ask: Ask) -> None:
    """Take a yank back."""
    await _manage(ask, "DELETE", (ask.path["version"], "yank"))


async def delete(ask: Ask) -> None:
    """Delete a version, or one of its files."""
    await _manage(ask, "DELETE", (ask.path["version"],))


async def status(ask: Ask) -> None:
    """Say in which state a project is."""
    body = json.dumps({"status": ask.body.status, "reason": ask.body.reason}).encode()
    await _manage(ask, "PUT", ("status",), body)


async def delete_file(ask: Ask) -> None:
    """Delete one file by its path below the repository."""
    repository = operations.repository(ask)
    call, segments = calls.deletion(repository.format, ask.path["path"])
    await _run(ask, repository, call, calls.InsideIncoming("DELETE", segments))


async def _manage(ask: Ask, method: str, rest: tuple[str, ...], body: bytes = b"") -> None:
    repository = operations.repository(ask)
    query = {"filename": ask.query["file"]} if ask.query.get("file") else {}
    segments = ("manage", ask.path["package"], *rest)
    call = calls.verb(repository.format, method, segments, query)
    await _run(ask, repository, call, calls.InsideIncoming(method, segments, body, query))


async def _run(ask: Ask, repository: Repository, call: Call, incoming: calls.InsideIncoming) -> None:
    """The right is asked of the repository that was addressed, and of the one behind it."""
    access, spec = ask.state.access, repository.spec
    access.require(ask.actor, call.action, spec, call.name)

    async def permit(owner: RepositorySpec, action: Action, name: str) -> None:
        access.require(ask.actor, action, spec, name)
        if owner.id != spec.id:
            access.require(ask.actor, action, owner, name)

    await calls.run(repository, call, incoming, publisher=ask.actor.name, permit=permit)


OPERATIONS = (
    Operation(
        "GET",
        AT,
        "List the packages that have files here",
        every,
        PackageList,
        query={"after": "only names behind this one", "limit": f"at most so many, up to {SHOWN}"},
    ),
    Operation(
        "PUT",
        AT + "/{package:path}/versions/{version}/yank",
        "Yank a version",
        yank,
        status=204,
        body=Yank,
        query=FILE,
    ),
    Operation(
        "DELETE", AT + "/{package:path}/versions/{version}/yank", "Take a yank back", unyank, status=204, query=FILE
    ),
    Operation(
        "DELETE",
        AT + "/{package:path}/versions/{version}",
        "Delete a version, or one of its files",
        delete,
        status=204,
        query=FILE,
    ),
    Operation("PUT", AT + "/{package:path}/status", "Set the status of a project", status, status=204, body=StatusNew),
    Operation("GET", AT + "/{package:path}", "Show a package with versions, files and origins", one, PackageShown),
    Operation(
        "DELETE",
        "/repositories/{format}/{name}/files/{path:path}",
        "Delete one file by its path below the repository",
        delete_file,
        status=204,
    ),
)
