"""One server with cargo repositories of every kind, open and closed, and the upstream behind them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.cargo.upstream import Registry, registry
from tests.clients.cargo.world import World, config
from tests.running import running


@pytest.fixture(scope="session")
def played() -> Iterator[Registry]:
    """A public registry, played on loopback."""
    with registry() as made:
        yield made


@pytest.fixture(scope="session")
def world(played: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The server, and what stands behind it."""
    data = tmp_path_factory.mktemp("cargo") / "var"
    with running(data, config=config(played.url)) as server:
        yield World(server, played)
        said = server.log.read_text()
    assert "Traceback" not in said
    # cargo offers HTTP/2 with every request over plain HTTP.
    assert "upgrade" not in said.lower()
