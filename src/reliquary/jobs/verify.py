"""Verification: every blob is hashed again, and everything that pages list must be there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import IO, Protocol

from reliquary.errors import NotHere
from reliquary.repositories.context import Context
from reliquary.types import Kind

MISSING = "missing"


class Repairable(Protocol):
    """What a store must be able to do to be repaired."""

    async def delete(self, blob: str) -> bool:
        """Remove a blob at once; False when not here."""

    async def set_aside(self, blob: str) -> bool:
        """Move a blob out of the way, where people find it; False when not here."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong: what, where, and whether it mends itself (proxies fetch what is
    missing again, pages are rendered again). ``blob`` is "" where a row names none; ``kind`` says
    what uses it, a repository's kind or ``page``."""

    problem: str
    repository: str
    key: str
    blob: str
    mends: bool
    kind: str = Kind.HOSTED

    def __str__(self) -> str:
        hint = "made anew when asked for" if self.mends else "publish it again or restore a backup"
        blob = f" ({self.blob[:12]})" if self.blob else ""
        return f"{self.problem}: {self.repository} {self.key}{blob}; {hint}"


@dataclass
class Report:
    """What was looked at and what was found."""

    checked: int = 0
    bytes: int = 0
    damage: list[Damage] = field(default_factory=list)


async def verify(
    context: Context, progress: Callable[[int], None] = lambda size: None, *, repair: bool = False
) -> Report:
    """Hash every blob that a row names, and compare sizes.

    Args:
        progress: called with the bytes of each blob that was read.
        repair: see `_repair`.
    """
    report = Report()
    seen: dict[str, str | None] = {}
    async for use in context.catalog.files.all_blobs():
        if use.blob not in seen:
            seen[use.blob] = await _problem(context, use.blob, use.size, report)
            progress(use.size or 0)
        problem = seen[use.blob]
        if problem is not None:
            mends = use.kind != Kind.HOSTED and problem == MISSING
            report.damage.append(Damage(problem, use.repository, use.key, use.blob, mends, use.kind))
    if repair:
        await _repair(context, report)
    report.damage += [damage async for damage in _without_bytes(context)]
    return report


async def total(context: Context) -> int:
    """Bytes that `verify` will read, as the rows tell; rows written meanwhile may be left out."""
    sizes = {use.blob: use.size async for use in context.catalog.files.all_blobs()}
    return sum(sizes.values())


async def _without_bytes(context: Context) -> AsyncIterator[Damage]:
    """Files that a hosted repository lists or serves and that no blob belongs to."""
    for spec in await context.catalog.repositories.all():
        if spec.kind is not Kind.HOSTED:
            continue
        for name, _ in await context.catalog.packages.packages(spec.id):
            for row in await context.catalog.files.of_package(spec.id, name):
                if row.blob is None:
                    yield Damage("listed without bytes", spec.title, row.entry.key, "", mends=False)


async def _repair(context: Context, report: Report) -> None:
    """Take wrong bytes away, so that right ones can take their place: what a proxy or a page named is
    fetched or rendered again, what a hosted repository named lies in ``damaged/`` and is refused
    until it is published again or restored."""
    store: Repairable = context.store  # type: ignore[assignment]
    hosted = {each.blob for each in report.damage if each.kind == Kind.HOSTED}
    for blob, problem in {each.blob: each.problem for each in report.damage}.items():
        await context.catalog.files.lost(blob)
        if problem == MISSING:
            continue
        if blob in hosted:
            await store.set_aside(blob)
        else:
            await store.delete(blob)
    report.damage = [replace(each, mends=each.kind != Kind.HOSTED) for each in report.damage]


async def _problem(context: Context, blob: str, size: int | None, report: Report) -> str | None:
    report.checked += 1
    try:
        file = await context.store.open(blob)
    except NotHere:
        return MISSING
    have, digest = await asyncio.to_thread(_hash, file)
    report.bytes += have
    if size is not None and have != size:
        return f"{have} bytes where {size} are due"
    return None if digest == blob else "other bytes than its name says"


def _hash(file: IO[bytes]) -> tuple[int, str]:
    with file:
        machine, size = hashlib.sha256(), 0
        while chunk := file.read(1_048_576):
            machine.update(chunk)
            size += len(chunk)
        return size, machine.hexdigest()
