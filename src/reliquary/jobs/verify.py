"""Verification: every blob is hashed again, and everything that pages list must be there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from reliquary.errors import NotHere
from reliquary.repositories.context import Context


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong: what, where, and whether it mends itself (proxies fetch again)."""

    problem: str
    repository: str
    key: str
    blob: str
    mends: bool

    def __str__(self) -> str:
        hint = "fetched again when asked for" if self.mends else "publish it again or restore a backup"
        return f"{self.problem}: {self.repository} {self.key} ({self.blob[:12]}); {hint}"


@dataclass
class Report:
    """What was looked at and what was found."""

    checked: int = 0
    bytes: int = 0
    damage: list[Damage] = field(default_factory=list)


async def verify(context: Context, progress: Callable[[int], None] = lambda size: None) -> Report:
    """Hash every blob that a row names, and compare sizes.

    Args:
        progress: called with the bytes of each blob that was read.
    """
    report = Report()
    seen: dict[str, str | None] = {}
    async for use in context.catalog.files.all_blobs():
        if use.blob not in seen:
            seen[use.blob] = await _problem(context, use.blob, use.size, report)
            progress(use.size or 0)
        problem = seen[use.blob]
        if problem is not None:
            mends = use.kind != "hosted"
            report.damage.append(Damage(problem, use.repository, use.key, use.blob, mends))
    return report


async def _problem(context: Context, blob: str, size: int | None, report: Report) -> str | None:
    report.checked += 1
    try:
        file = await context.store.open(blob)
    except NotHere:
        return "missing"
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
