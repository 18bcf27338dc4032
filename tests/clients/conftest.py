"""One server with an upstream of its own, and homes for the clients that ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.tools import Home
from tests.running import Running, running
from tests.upstreams import Upstream, playing

USER = "ann@team.example"
PASSWORD = "p@ss:w/rd"

CONFIG = """
upstreams = {{ pypi = "{url}full/simple/" }}

[[repositories]]
format = "pypi"
name = "bare"
kind = "proxy"
upstream = "{url}bare/simple/"

[[repositories]]
format = "pypi"
name = "both"
kind = "group"
members = ["local", "bare"]

[[repositories]]
format = "pypi"
name = "closed"
kind = "hosted"
anonymous_read = false

[[users]]
name = "ann@team.example"
password = "p@ss:w/rd"

[[grants]]
user = "ann@team.example"
repositories = "pypi/closed"
actions = ["read", "publish"]
"""


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """A public index, played on loopback."""
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """``/pypi/local/``, ``upstream``, ``main``; ``bare`` and ``both`` with an HTML upstream; ``closed``."""
    data = tmp_path_factory.mktemp("server") / "var"
    with running(data, config=CONFIG.format(url=upstream.url)) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return Home(tmp_path / "home")
