"""What every repository works with: the long-lived objects, built once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reliquary.blobs.base import BlobStore
from reliquary.blobs.fill import Fills
from reliquary.catalog.engine import Catalog
from reliquary.repositories.flight import Flights
from reliquary.repositories.hot import HotMap
from reliquary.repositories.labour import Labour
from reliquary.repositories.lists import Lists
from reliquary.repositories.signing import Signing

BASES = 256
"""Addresses of repositories of ours that pages are kept for: each is a host and a repository."""


def utc_now() -> datetime:
    """The time, timezone-aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Limits:
    """Durations in seconds, sizes in bytes; from the settings.

    Args:
        page_life: how long a proxied page counts as fresh, at most.
        stale_for: how long after that it is still served while it is revalidated behind the answer.
        negative_life: how long a name that the upstream does not have is remembered.
        reserve: free disk that hosted writes keep for themselves.
        upload_limit: largest file that may be published.
        public_url: absolute address of the server, or None.
    """

    page_life: float = 300
    stale_for: float = 3600
    negative_life: float = 30
    reserve: int = 0
    upload_limit: int = 5 * 1024**3
    public_url: str | None = None


@dataclass(frozen=True)
class Context:
    """The catalog, the store and what is shared between repositories of one process.

    Each configuration has a context with a hot map of its own, so that what is still being made
    under an old one is never shown under the new. ``built`` is the last change its repositories
    were surely built after.
    """

    catalog: Catalog
    store: BlobStore
    fills: Fills
    hot: HotMap
    limits: Limits = field(default_factory=Limits)
    data: Path | None = None
    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    flights: Flights = field(default_factory=Flights)
    used: dict[tuple[int, str], datetime] = field(default_factory=dict)
    downloads: dict[tuple[int, str], int] = field(default_factory=dict)
    built: int = 0
    tokens_used: dict[int, datetime] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    lists: Lists = field(init=False)
    labour: Labour = field(default_factory=Labour)
    signing: Signing = field(init=False)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    bases: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lists", Lists(self.store, self.labour))
        object.__setattr__(self, "signing", Signing(self.catalog, self.now))

    def knows(self, base: str | None) -> bool:
        """Whether pages made for this address of ours are kept: those of the first few addresses that
        clients use. More names may be sent as Host than there is room for pages."""
        if base is None or base in self.bases:
            return True
        if len(self.bases) < BASES:
            self.bases.add(base)
            return True
        return False

    def count(self, what: str, by: int = 1) -> None:
        """Add to a counter that /metrics shows."""
        self.counts[what] = self.counts.get(what, 0) + by

    def downloaded(self, repository_id: int, key: str, times: int = 1) -> None:
        """Count a download of a file, by the repository whose row it is; written when tallies are."""
        at = (repository_id, key)
        self.downloads[at] = self.downloads.get(at, 0) + times

    def later(self, work: Any) -> None:
        """Run a coroutine behind the answer; it is held until it ends."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
