"""What commands share: settings, errors as one line, an open data folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from reliquary.errors import ReliquaryError
from reliquary.settings import Settings, WrongSettings, load

if TYPE_CHECKING:
    from reliquary.app import World

T = TypeVar("T")
console = Console(highlight=False, soft_wrap=True)


class Failure(Exception):
    """An error that a person can act on: `reliquary.cli.main` prints it as one line, exit code 1."""


def read_settings(config: Path | None, **flags: Any) -> Settings:
    """The settings of this call; raises Failure naming what is wrong."""
    try:
        return load(config, os.environ, **flags)
    except WrongSettings as error:
        raise Failure(str(error)) from error


def in_world(settings: Settings, work: Callable[[World], Awaitable[T]]) -> T:
    """Run ``work`` on the opened data folder; ReliquaryErrors become one line."""
    return asyncio.run(_in_world(settings, work))


async def _in_world(settings: Settings, work: Callable[[World], Awaitable[T]]) -> T:
    from reliquary.app import open_world
    from reliquary.cli import init
    from reliquary.upstream.discover import outgoing

    try:
        if not await init.prepared(settings):
            await init.prepare(settings, os.environ)
        world = await open_world(settings, outgoing(os.environ))
        try:
            return await work(world)
        finally:
            await world.close()
    except ReliquaryError as error:
        raise Failure(error.message) from error
