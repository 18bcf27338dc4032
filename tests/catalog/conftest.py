"""A catalog on a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reliquary.catalog import migrate
from reliquary.catalog.engine import Catalog
from reliquary.types import Kind
from tests.catalog.build import new_repository


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An up-to-date database."""
    address = f"sqlite:///{tmp_path / 'reliquary.db'}"
    migrate.upgrade(address)
    return address


@pytest.fixture
async def catalog(url: str) -> AsyncIterator[Catalog]:
    """An open catalog."""
    opened = await Catalog.open(url)
    yield opened
    await opened.close()


@pytest.fixture
async def hosted(catalog: Catalog) -> int:
    """A hosted repository."""
    return await new_repository(catalog, "private")


@pytest.fixture
async def proxy(catalog: Catalog) -> int:
    """A proxy repository."""
    return await new_repository(catalog, "cache", Kind.PROXY)
