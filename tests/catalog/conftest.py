"""A catalog on a database of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reliquary.catalog import migrate
from reliquary.catalog.engine import Catalog
from reliquary.catalog.location import sqlite_path
from reliquary.types import Kind
from tests.catalog.build import new_repository


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An up-to-date database: a file of its own, or the one that a variable names, emptied."""
    address = os.environ.get("RELIQUARY_TEST_DATABASE", f"sqlite:///{tmp_path / 'reliquary.db'}")
    if migrate.current(address) is not None:
        migrate.downgrade(address, "base")
    migrate.upgrade(address)
    return address


@pytest.fixture
def database_file(url: str) -> Path:
    """The database, for what is true of files only."""
    path = sqlite_path(url)
    if path is None:
        pytest.skip("the database is not a file")
    return path


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
