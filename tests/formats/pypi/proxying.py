"""A pypi proxy and a group around it, over an upstream that plays odd indexes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urljoin

from tests.faults.playground import JSON, get
from tests.running import Running


def page(server: Running, name: str, repository: str = "proxy") -> dict[str, Any]:
    """A project's page in JSON; it must be a 200."""
    got = get(server, f"/pypi/{repository}/simple/{name}/", {"Accept": JSON})
    assert got.status == 200, got
    found: dict[str, Any] = json.loads(got.body)
    return found


def the_file(server: Running, name: str, repository: str = "proxy") -> dict[str, Any]:
    """The one file on a project's page, its address made a path of the server."""
    (file,) = page(server, name, repository)["files"]
    found: dict[str, Any] = file | {"path": urljoin(f"/pypi/{repository}/simple/{name}/", file["url"])}
    return found
