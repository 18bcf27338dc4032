"""`reliquary import`: publish what lies on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import MofNCompleteColumn

from reliquary.cli.common import console
from reliquary.cli.options import OWNER, AsJson, Config, Data, bar, emit, work
from reliquary.jobs import importing

if TYPE_CHECKING:
    from reliquary.app import World


def import_(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, and folders to walk.")],
    to: Annotated[str | None, typer.Option("--to", help="Repository for all of it; unset: each format's own.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=64, help="Files at a time.")] = 2,
    as_json: AsJson = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Publish every artefact in the paths. Exits with 1 when one was refused."""

    async def bring(world: World) -> importing.Outcome:
        estate = world.state.estate
        if to is None:
            into = importing.entrances(estate, world.formats)
        else:
            into = {to: importing.target(estate, world.formats, to)}
        walked = list(importing.files(paths))
        found = [importing.place(path, below, into, any_path=to is not None) for path, below in walked]
        with bar(MofNCompleteColumn()) as progress:
            task = progress.add_task("importing", total=len(found))
            return await importing.bring(found, jobs, lambda _: progress.advance(task), publisher=OWNER.name)

    outcome = work(config, data, bring)
    if as_json:
        refused = [{"path": path, "reason": reason} for path, reason in outcome.refused]
        emit({"new": outcome.new, "there": outcome.there, "skipped": outcome.skipped, "refused": refused})
    else:
        for path, reason in outcome.refused:
            console.print(f"refused {escape(str(path))}: {escape(reason)}")
        counts = f"{outcome.new} new, {outcome.there} already there, {len(outcome.refused)} refused"
        console.print(f"{counts}, {outcome.skipped} of no known kind")
    if outcome.refused:
        raise typer.Exit(1)
