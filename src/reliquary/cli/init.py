"""The first start, and what every start makes sure of: schema, repositories, accounts, token."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from reliquary.access.accounts import Accounts
from reliquary.access.passwords import Passwords
from reliquary.catalog import migrate
from reliquary.catalog.engine import Catalog
from reliquary.catalog.records import UserRow
from reliquary.errors import SettingsError
from reliquary.formats.base import Format
from reliquary.formats.registry import formats
from reliquary.repositories.configure import remote_of, spec_of
from reliquary.settings import RepositoryDeclaration, Settings, UpstreamDeclaration
from reliquary.types import Action, Grant, Kind, Remote, RepositorySpec
from reliquary.upstream.discover import Found, discover

LOCAL, UPSTREAM, MAIN = "local", "upstream", "main"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a start found or made.

    Args:
        first: the data folder was empty.
        token: where the admin token was written, when it was just made.
        found: what was found of upstreams, by format, at the first start.
    """

    first: bool
    token: Path | None
    found: Mapping[str, Found]


@contextmanager
def _writing(data: Path) -> Iterator[None]:
    """Raises SettingsError where the disk refuses."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise SettingsError(f"cannot write to the data folder {data}: {reason}; name another by --data") from error


def lock(data: Path) -> int:
    """Take the data folder for one server; returns the descriptor that holds it.

    Raises:
        SettingsError: another server has it, or nothing can be written there.
    """
    with _writing(data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data / "reliquary.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise SettingsError(f"another server is using {data}; stop it, or give this one its own --data") from None
    return descriptor


async def prepared(settings: Settings) -> bool:
    """Whether a server of this schema was prepared here before.

    Commands then leave the folder as it is: what their own settings do not declare must not lose
    its declaration.
    """
    if not settings.data.is_dir() or migrate.current(settings.database) != migrate.HEAD:
        return False
    catalog = await Catalog.open(settings.database)
    try:
        return bool(await catalog.repositories.all())
    finally:
        await catalog.close()


async def prepare(settings: Settings, environ: Mapping[str, str]) -> Prepared:
    """Make the data folder ready for this program and these settings.

    Raises:
        SettingsError: the schema is newer than the program, a declaration cannot be met, or nothing
            can be written there.
    """
    with _writing(settings.data):
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    migrate.upgrade(settings.database)
    catalog = await Catalog.open(settings.database)
    try:
        specs = await catalog.repositories.all()
        found: dict[str, Found] = {}
        if not specs:
            found = await _first(catalog, settings, environ)
        with _writing(settings.data):
            token = await Accounts(catalog, Passwords()).ensure_admin(settings.data)
        await _declare_repositories(catalog, settings)
        await _declare_accounts(catalog, settings)
        return Prepared(not specs, token, found)
    finally:
        await catalog.close()


async def _first(catalog: Catalog, settings: Settings, environ: Mapping[str, str]) -> dict[str, Found]:
    """The ready-made repositories of every format."""
    found: dict[str, Found] = {}
    for name, format in formats().items():
        found[name] = upstreams_of(format, settings, environ)
        remotes = found[name].remotes
        specs = [RepositorySpec(0, name, LOCAL, Kind.HOSTED)]
        if remotes:
            specs.append(RepositorySpec(0, name, UPSTREAM, Kind.PROXY, remotes=remotes))
        members = tuple(spec.name for spec in specs)
        for spec in (*specs, RepositorySpec(0, name, MAIN, Kind.GROUP, members=members)):
            await catalog.repositories.create(spec)
    return found


def upstreams_of(format: Format, settings: Settings, environ: Mapping[str, str]) -> Found:
    """Where a format's public packages come from: settings, else this machine's clients, else the
    constants of libraries."""
    if format.name in settings.upstreams:
        remotes = tuple(remote_of(each, "settings") for each in settings.upstreams[format.name])
        return Found(remotes, () if remotes else ("settings say none",))
    if format.public is None:
        return Found((), ("no public upstream is known for this format",))
    return discover(format.public.client, format.public.purl, environ=environ, home=Path.home(), run=_ask)


def _ask(command: Sequence[str]) -> str | None:
    """What a client prints of its own configuration, or None when it is absent, fails or is slow."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603 - a constant command
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


async def _declare_repositories(catalog: Catalog, settings: Settings) -> None:
    """What the settings declare is so; what they no longer declare may be edited again."""
    have = {(spec.format, spec.name): spec for spec in await catalog.repositories.all()}
    declared = {(each.format, each.name): each for each in _members_first(settings.repositories)}
    known = formats()
    for at, declaration in declared.items():
        if declaration.format not in known:
            raise SettingsError(f"repositories: {declaration.format} is no format; there are {', '.join(known)}")
        spec = _spec(declaration, have.get(at), settings)
        if at not in have:
            await catalog.repositories.create(spec)
        elif replace(spec, serial=have[at].serial) != have[at]:
            if spec.kind is not have[at].kind:
                raise SettingsError(f"repositories: {spec.title} is {have[at].kind} and cannot become {spec.kind}")
            await catalog.repositories.save(spec)
    for at, spec in have.items():
        if spec.declared and at not in declared:
            await catalog.repositories.save(replace(spec, declared=False))


def _members_first(declarations: Sequence[RepositoryDeclaration]) -> list[RepositoryDeclaration]:
    """The same repositories with each group behind its members, in whatever order they were written."""
    named = {(each.format, each.name): each for each in declarations}
    ordered: dict[tuple[str, str], RepositoryDeclaration] = {}
    seen: set[tuple[str, str]] = set()

    def visit(at: tuple[str, str]) -> None:
        if at in named and at not in seen:
            seen.add(at)
            for member in named[at].members:
                visit((at[0], member))
            ordered[at] = named[at]

    for at in named:
        visit(at)
    return list(ordered.values())


def _spec(declared: RepositoryDeclaration, have: RepositorySpec | None, settings: Settings) -> RepositorySpec:
    addresses: Sequence[UpstreamDeclaration] | None = declared.upstream
    remotes: tuple[Remote, ...] = ()
    if addresses is not None:
        remotes = tuple(remote_of(each, "settings") for each in addresses)
    elif declared.kind == "proxy":
        remotes = tuple(remote_of(each, "settings") for each in settings.upstreams.get(declared.format, ()))
        remotes = remotes or (have.remotes if have else ())
    return replace(spec_of(declared, remotes), id=have.id if have else 0, declared=True)


async def _declare_accounts(catalog: Catalog, settings: Settings) -> None:
    """Declared users exist with the declared password, and have exactly the declared grants."""
    passwords = Passwords()
    snapshot = await catalog.accounts.snapshot()
    have = {user.name: user for user in snapshot.users}
    for declared in settings.users:
        user = have.get(declared.name)
        secret = declared.password.get_secret_value() if declared.password else None
        stored = user.password_hash if user else None
        if secret is None:
            stored = None
        elif stored is None or not await passwords.check(declared.name, stored, secret):
            stored = await passwords.hash(secret)
        wanted = UserRow(declared.name, stored, user.created if user else datetime.now(UTC), declared.admin)
        if user is None:
            await catalog.accounts.add_user(wanted)
        elif wanted != user:
            await catalog.accounts.save_user(wanted)
    granted: dict[str, list[Grant]] = {}
    for each in settings.grants:
        actions = frozenset(Action(action) for action in each.actions)
        granted.setdefault(each.user, []).append(Grant(each.user, each.repositories, actions, each.packages))
    known = have.keys() | {user.name for user in settings.users}
    for name, grants in granted.items():
        if name not in known:
            raise SettingsError(f"grants: there is no user {name}")
        if {*grants} != {grant for grant in snapshot.grants if grant.user == name}:
            await catalog.accounts.set_grants(name, grants)
