"""What fault tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.forks import Forks
from tests.upstreams import Upstream, playing


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """What makes processes of the program cheap."""
    with Forks() as forks:
        yield forks


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream of a test's own."""
    with playing() as upstream:
        yield upstream
