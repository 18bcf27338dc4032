"""`reliquary upstreams`: what was found, and from where."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from reliquary.cli import init
from reliquary.cli.common import console
from reliquary.cli.options import AsJson, Config, Data, emit, table, work

if TYPE_CHECKING:
    from reliquary.app import World


def upstreams(as_json: AsJson = False, data: Data = None, config: Config = None) -> None:
    """Show where proxies fetch from, and where that address was found."""

    async def all_(world: World) -> tuple[list[dict[str, Any]], dict[str, str]]:
        rows = [
            {
                "repository": spec.title,
                "upstream": remote.url,
                "found_in": remote.source,
                "credentials": bool(remote.username or remote.password),
            }
            for spec in world.state.specs()
            for remote in spec.remotes
        ]
        return rows, await _without(world)

    rows, without = work(config, data, all_)
    if as_json:
        emit({"upstreams": rows, "none": without})
        return
    if rows:
        console.print(table(rows))
    for format, why in without.items():
        console.print(f"{format}: no upstream{f' ({why})' if why else ''}", markup=False)


async def _without(world: World) -> dict[str, str]:
    """Formats that no proxy fetches for, with what a search on this machine says now."""
    busy = {spec.format for spec in world.state.specs() if spec.remotes}
    found: dict[str, str] = {}
    for name, format in world.formats.items():
        if name not in busy:
            now = await asyncio.to_thread(init.upstreams_of, format, world.settings, os.environ)
            offered = [f"{remote.source} names {remote.url}; make a proxy of it" for remote in now.remotes]
            found[name] = "; ".join([*now.notes, *offered])
    return found
