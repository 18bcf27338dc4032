"""What most formats answer to the rarer questions of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO

from reliquary.formats.base import Arrival, Derived, FileKey, PageKey, Source
from reliquary.types import Entry


class Usual:
    """Members of `reliquary.formats.base.Format` that a format need not have an answer of its own for."""

    __slots__ = ()

    learns = False
    pace = 0.0

    def normalise(self, name: str) -> str:
        """Names differ by every letter."""
        return name

    def guide(self, base: str) -> PageKey | None:
        """Addresses follow from the upstream's, or pages name them."""
        return None

    def direct(self, entry: Entry, told: Mapping[str, str]) -> str | None:
        """There is no guide."""
        return None

    def brief(self, key: FileKey, base: str) -> str | None:
        """Upstreams have no documents about single files."""
        return None

    def glean(self, key: FileKey, source: Source) -> Entry | None:
        """There are no such documents."""
        return None

    def question(self, path: str, base: str, told: Mapping[str, str]) -> str | None:
        """Services lie below the upstream's own address."""
        return base + path

    def withheld(self, properties: Mapping[str, str]) -> str | None:
        """Nothing is."""
        return None

    def derive(self, key: FileKey) -> Derived | None:
        """No file is computed from another."""
        return None

    def arrive(self, entry: Entry, file: IO[bytes]) -> Arrival | None:
        """Files teach nothing."""
        return None

    def recognise(self, filename: str) -> tuple[str, ...] | None:
        """No file is known by its name."""
        return None
