"""`reliquary refresh`, `purge`, `gc`, `verify`: what also runs as jobs, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import DownloadColumn

from reliquary.cli.common import console
from reliquary.cli.options import AsJson, Config, Data, Title, bar, emit, work
from reliquary.jobs import gc as collecting
from reliquary.jobs import purge as purging
from reliquary.jobs import refresh as refreshing
from reliquary.jobs import verify as verifying

if TYPE_CHECKING:
    from reliquary.app import World
    from reliquary.blobs.sweep import Swept


def refresh(
    repo: Title,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A package; unset: the list of all.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Ask the upstreams of a repository for pages now, however fresh ours are."""

    async def ask(world: World) -> int:
        return await refreshing.refresh(world.state.estate, repo, name)

    console.print(f"refreshed {work(config, data, ask)} pages")


def purge(
    repo: Title,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A package; unset: all of them.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Forget files that proxies fetched; they are fetched again when asked for."""

    async def forget(world: World) -> int:
        return await purging.purge(world.context, world.state.estate, repo, name)

    console.print(f"forgot {work(config, data, forget)} files; reliquary gc frees their bytes")


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, say what would go.")] = False,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Remove blobs that nothing names any more, after the time of grace."""

    async def collect(world: World) -> Swept:
        return await collecting.collect(world.context, grace=world.settings.gc_grace, dry_run=dry_run)

    swept = work(config, data, collect)
    if as_json:
        emit({"blobs": swept.count, "bytes": swept.bytes, "removed": not dry_run})
    else:
        console.print(f"{'would remove' if dry_run else 'removed'} {swept.count} blobs, {swept.bytes} bytes")


def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove wrong bytes: proxies fetch them again, hosted ones are kept aside.")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Hash every blob again and look for what pages list. Exits with 1 on damage that remains."""

    async def check(world: World) -> verifying.Report:
        with bar(DownloadColumn()) as progress:
            task = progress.add_task("verifying", total=await verifying.total(world.context))
            return await verifying.verify(world.context, lambda size: progress.advance(task, size), repair=repair)

    report = work(config, data, check)
    if as_json:
        damage = [
            {"problem": each.problem, "repository": each.repository, "key": each.key, "blob": each.blob or None}
            for each in report.damage
        ]
        emit({"checked": report.checked, "bytes": report.bytes, "damage": damage})
    else:
        for each in report.damage:
            console.print(escape(str(each)))
        console.print(f"checked {report.checked} blobs, {report.bytes} bytes: {len(report.damage)} damaged")
    if any(not (repair and each.mends) for each in report.damage):
        raise typer.Exit(1)
