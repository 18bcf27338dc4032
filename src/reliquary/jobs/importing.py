"""Importing: files of this machine are published, each by its format's own verb."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reliquary.errors import NotHere, ReliquaryError, SettingsError
from reliquary.formats.base import Call, Format
from reliquary.jobs.calls import InsideIncoming, is_file, run
from reliquary.repositories.base import Repository
from reliquary.repositories.build import Estate

ENTRANCES = ("main", "local")
"""Names tried in this order for the repository that takes a format's files."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file on the disk and where it is put; ``repository`` None: nobody knows it."""

    path: Path
    repository: Repository | None = None
    segments: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What became of an import: counts, and (path, reason) of what was refused."""

    new: int = 0
    there: int = 0
    skipped: int = 0
    refused: list[tuple[Path, str]] = field(default_factory=list)


def files(paths: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Every regular file in the paths with its path below the one that was named, folders sorted.

    Raises:
        SettingsError: a path does not exist.
    """
    for path in paths:
        if path.is_file():
            yield path, Path(path.name)
        elif path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                for name in sorted(names):
                    found = Path(folder, name)
                    if found.is_file():
                        yield found, found.relative_to(path)
        else:
            raise SettingsError(f"{path} does not exist or cannot be read")


def target(estate: Estate, formats: Mapping[str, Format], to: str) -> Repository:
    """The hosted repository that takes what is put to ``format/name``; raises SettingsError."""
    format, _, name = to.partition("/")
    found = estate.get(format, name) if format in formats else None
    inner = found.target() if found is not None else None
    if inner is None:
        raise SettingsError(f"there is no repository {to} that takes publishing; reliquary repo list shows them")
    return inner


def entrances(estate: Estate, formats: Mapping[str, Format]) -> dict[str, Repository]:
    """For each format the hosted repository that takes its files by default."""
    found: dict[str, Repository] = {}
    for format in formats:
        for name in ENTRANCES:
            repository = estate.get(format, name)
            inner = repository.target() if repository is not None else None
            if inner is not None:
                found.setdefault(format, inner)
    return found


def place(path: Path, below: Path, into: Mapping[str, Repository], *, any_path: bool) -> Found:
    """Where a file goes: the first format that knows its name, or its own path.

    Args:
        below: its path below the folder that was named.
        into: format to repository, in the order they are asked.
        any_path: put unknown files under ``below`` where the format takes files at any path.
    """
    for repository in into.values():
        segments = repository.format.recognise(path.name)
        if segments is None and any_path and _takes(repository.format, below.parts):
            segments = below.parts
        if segments is not None:
            return Found(path, repository, segments)
    return Found(path)


def _takes(format: Format, segments: tuple[str, ...]) -> bool:
    try:
        return isinstance(format.match("PUT", segments, {}), Call) and is_file(format, segments)
    except ReliquaryError:
        return False


async def bring(
    found: Sequence[Found], jobs: int, progress: Callable[[Found], None], *, publisher: str | None = None
) -> Outcome:
    """Publish files, ``jobs`` at a time.

    Args:
        progress: called after each file.
        publisher: who is recorded.

    Returns:
        What became of them; a refused file stops no other one.
    """
    outcome, todo = Outcome(), iter(found)

    async def worker() -> None:
        for each in todo:
            await _one(each, outcome, publisher)
            progress(each)

    async with asyncio.TaskGroup() as group:
        for _ in range(max(1, jobs)):
            group.create_task(worker())
    return outcome


async def _one(found: Found, outcome: Outcome, publisher: str | None) -> None:
    if found.repository is None:
        outcome.skipped += 1
        return
    incoming = InsideIncoming("PUT", found.segments, found.path)
    try:
        call = found.repository.format.match("PUT", found.segments, {})
        if not isinstance(call, Call):
            raise NotHere("nothing takes a file of this name")
        reply = await run(found.repository, call, incoming, publisher=publisher)
    except ReliquaryError as error:
        outcome.refused.append((found.path, error.message))
    except OSError as error:
        outcome.refused.append((found.path, error.strerror or "it cannot be read"))
    else:
        outcome.new += reply.status == 201
        outcome.there += reply.status != 201
