"""A server that npm's own tests share: packages have names of their own, so that tests do not meet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.requests import NONE
from tests.running import Running, running


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Hosted ``npm/local`` in the group ``npm/main``; no upstream."""
    with running(tmp_path_factory.mktemp("npm") / "var", config=NONE) as server:
        yield server
