"""`reliquary doctor`: looks at everything a server needs, changes nothing, says what to do."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal, TypeAlias

import typer
from rich.markup import escape

from reliquary.catalog import migrate
from reliquary.catalog.engine import Catalog
from reliquary.catalog.location import sqlite_path
from reliquary.cli.common import console
from reliquary.cli.options import AsJson, Config, Data, emit, quiet
from reliquary.errors import ReliquaryError, SettingsError, Unavailable
from reliquary.formats.registry import formats
from reliquary.settings import Settings
from reliquary.types import RepositorySpec
from reliquary.upstream.base import Missing, Unchanged
from reliquary.upstream.discover import outgoing
from reliquary.upstream.http import HttpUpstream
from reliquary.upstream.policy import UpstreamPolicy

Grade: TypeAlias = Literal["ok", "warn", "fail"]
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
SKEW = 120
"""Seconds that our clock may differ from an upstream's."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and what to do when it is not well."""

    name: str
    grade: Grade
    detail: str
    remedy: str = ""


def doctor(as_json: AsJson = False, data: Data = None, config: Config = None) -> None:
    """Check the data folder, the database, the clock, the disk and the upstreams. Exits with 1 on a failure."""
    checks = asyncio.run(examine(quiet(config, data)))
    if as_json:
        emit([asdict(check) for check in checks])
    else:
        for check in checks:
            colour = COLOURS[check.grade]
            console.print(f"[{colour}]{check.grade:4}[/{colour}] {check.name}: {escape(check.detail)}")
            if check.remedy and check.grade != "ok":
                console.print(f"     {escape(check.remedy)}")
    if any(check.grade == "fail" for check in checks):
        raise typer.Exit(1)


async def examine(settings: Settings) -> list[Check]:
    """Carry out every check that makes sense."""
    checks = [*folder(settings.data)]
    if any(check.grade == "fail" for check in checks):
        return checks
    checks += [*disk(settings), *database(settings)]
    if any(check.grade == "fail" and check.name == "database" for check in checks):
        return checks
    catalog = await Catalog.open(settings.database)
    try:
        checks.append(await _times(catalog))
        specs = await catalog.repositories.all()
    finally:
        await catalog.close()
    return checks + await upstreams(settings, specs)


def folder(data: Path) -> Iterator[Check]:
    """The data folder: there, ours, writable, closed to others, and who serves from it."""
    name = "data folder"
    if not data.is_dir():
        yield Check(name, "fail", f"{data} is no folder", "start reliquary serve once, or give --data")
        return
    state = data.stat()
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        yield Check(
            name, "fail", f"{data} is not writable", f"chown it to the user that runs Reliquary ({os.geteuid()})"
        )
        return
    if state.st_uid != os.geteuid():
        yield Check(name, "warn", f"{data} belongs to user {state.st_uid}", "run Reliquary as its owner")
    if state.st_mode & 0o077:
        yield Check(name, "warn", f"{data} is open to others ({state.st_mode & 0o777:o})", f"chmod 700 {data}")
    yield Check(name, "ok", f"{data.absolute()} is writable; {holder(data / 'reliquary.lock')}")


def holder(lock: Path) -> str:
    """Who serves from the folder, in words; the lock itself is only tried, never kept."""
    if not lock.exists():
        return "no server was started here"
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return f"a server runs on it{_process(os.fstat(descriptor).st_ino)}"
    finally:
        os.close(descriptor)
    return "no server runs on it"


def _process(inode: int) -> str:
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ""
    held = [line.split() for line in lines if "FLOCK" in line]
    found = [words[4] for words in held if len(words) > 5 and words[5].endswith(f":{inode}")]
    return f" (process {found[0]})" if found else ""


def disk(settings: Settings) -> Iterator[Check]:
    """Free disk against the reserve (`reserve` in docs/settings.md)."""
    free, reserve = shutil.disk_usage(settings.data).free, int(settings.reserve)
    detail = f"{free // 1_048_576} MiB free, {reserve // 1_048_576} MiB are kept for publishes"
    if free < reserve // 4:
        yield Check("disk", "fail", detail, "publishes are refused: free some, or run reliquary gc")
    elif free < reserve:
        yield Check("disk", "warn", detail, "fetched files are not kept any more: free some, or run reliquary gc")
    else:
        yield Check("disk", "ok", detail)


def database(settings: Settings) -> Iterator[Check]:
    """The schema, and on SQLite the file's integrity."""
    try:
        revision = migrate.current(settings.database)
    except SettingsError as error:
        yield Check("database", "fail", error.message, "see database_url in docs/settings.md")
        return
    if revision != migrate.HEAD:
        detail = f"its schema is {revision}, this program's is {migrate.HEAD}"
        yield Check("database", "fail", detail, "start reliquary serve, which brings an older one forward")
        return
    path = sqlite_path(settings.database)
    broken = _quick_check(path) if path else None
    if broken:
        yield Check("database", "fail", f"it is damaged: {broken}", "stop the server and restore a backup")
    else:
        yield Check("database", "ok", f"schema {revision}{', sound' if path else ''}")


def _quick_check(path: Path) -> str | None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            said = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if said == ["ok"] else "; ".join(said)


async def _times(catalog: Catalog) -> Check:
    """Whether the clock ever went back behind what is written down."""
    snapshot = await catalog.accounts.snapshot()
    jobs = await catalog.jobs.list(1)
    written = [user.created for user in snapshot.users]
    written += [token.created for token in snapshot.tokens] + [job.created for job in jobs]
    now, latest = datetime.now(UTC), max(written, default=None)
    if latest is not None and latest > now:
        detail = f"it is {now:%Y-%m-%d %H:%M} UTC, but the database knows {latest:%Y-%m-%d %H:%M}"
        return Check("clock", "fail", detail, "set the clock (NTP); tokens and freshness depend on it")
    return Check("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC, not behind what is written down")


async def upstreams(settings: Settings, specs: Sequence[RepositorySpec]) -> list[Check]:
    """Ask each upstream once, and compare clocks with those that answer."""
    remotes = {(spec.format, remote): spec for spec in specs for remote in spec.remotes}
    if settings.offline:
        return [Check("upstreams", "ok", "offline: nobody is asked")]
    if not remotes:
        return [Check("upstreams", "ok", "none: every repository is hosted here")]
    policy = UpstreamPolicy(
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        retries=0,
        private_addresses=settings.upstream_private,
        answer_headers=("date",),
    )
    checks: list[Check] = []
    for (format, remote), spec in remotes.items():
        if spec.options.get("offline"):
            continue
        try:
            client = HttpUpstream(remote, policy, outgoing=outgoing(os.environ))
        except ReliquaryError as error:
            checks.append(Check("upstream", "fail", f"{spec.title}: {error.message}", "mend its address"))
            continue
        try:
            checks += await _ask(client, format, spec.title)
        finally:
            await client.close()
    return checks


async def _ask(client: HttpUpstream, format: str, title: str) -> list[Check]:
    known = formats()
    url = client.base
    if format in known and (roots := known[format].pages("")):
        url = known[format].locate(roots[0], client.base) or client.base
    begun = time.monotonic()
    try:
        date = await _either(lambda method: _date(client, url, method))
    except ReliquaryError as error:
        remedy = "check its address, the network and outgoing proxies; what is stored is still served"
        return [Check("upstream", "fail", f"{title} {client.base}: {error.message}", remedy)]
    taken = 1000 * (time.monotonic() - begun)
    checks = [Check("upstream", "ok", f"{title} {client.base} answered in {taken:.0f} ms")]
    return checks + ([_skew(date, client.base)] if date else [])


async def _either(ask: Callable[[str], Awaitable[datetime | None]]) -> datetime | None:
    """HEAD, and GET where that is not taken."""
    try:
        return await ask("HEAD")
    except Unavailable:
        return await ask("GET")


async def _date(client: HttpUpstream, url: str, method: str) -> datetime | None:
    async with client.open(url, method=method) as answer:
        # What says no conclusively is an answer too, one without headers.
        text = "" if isinstance(answer, Missing | Unchanged) else answer.headers.get("date", "")
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None


def _skew(date: datetime, base: str) -> Check:
    theirs = date if date.tzinfo else date.replace(tzinfo=UTC)
    seconds = (datetime.now(UTC) - theirs).total_seconds()
    if abs(seconds) <= SKEW:
        return Check("clock", "ok", f"agrees with {base}")
    remedy = "set the clock (NTP); tokens, TLS and freshness depend on it"
    return Check("clock", "warn", f"differs by {abs(seconds):.0f} s from {base}", remedy)
