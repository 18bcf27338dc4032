"""A server that go's own tests share, and short words for what is asked of one.

Modules have paths of their own in every test, so that tests do not meet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from reliquary.formats.go.names import escape
from tests.contracts.requests import NONE
from tests.formats.go.artefacts import gomod, module_zip
from tests.running import Answer, Running, running
from tests.upstreams import Upstream

LIMIT = 20_000
"""Bytes that ``go/small`` takes."""

CONFIG = f"""{NONE}
[[repositories]]
format = "go"
name = "small"
kind = "hosted"
upload_limit = {LIMIT}

[[repositories]]
format = "go"
name = "far"
kind = "proxy"
upstream = "none"

[[repositories]]
format = "go"
name = "closed"
kind = "hosted"
anonymous_read = false

[[users]]
name = "ann"
password = "p@ss:w/rd"
"""


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Hosted ``local`` in the group ``main``, ``small``, ``far`` (no upstream), and ``closed``."""
    with running(tmp_path_factory.mktemp("go") / "var", config=CONFIG) as server:
        yield server


def place(path: str, version: str, ending: str = "zip") -> str:
    """Where a file of a version lies."""
    return f"{escape(path)}/@v/{escape(version)}.{ending}"


def get(server: Running, path: str, *, at: str = "local", **headers: str) -> Answer:
    """A read below a repository, as anybody has it."""
    return server.ask(f"/go/{at}/{path}", headers={name.replace("_", "-"): value for name, value in headers.items()})


def send(server: Running, method: str, path: str, body: bytes | None = None, *, at: str = "local") -> Answer:
    """A request below a repository, as the administrator."""
    return server.ask(f"/go/{at}/{path}", method=method, body=body, token=server.token)


def publish(server: Running, path: str, version: str = "v1.0.0", *, to: str = "local", **more: Any) -> Answer:
    """PUT a module zip to its place; ``more`` goes to `module_zip`."""
    return send(server, "PUT", place(path, version), module_zip(path, version, **more), at=to)


def listed(server: Running, path: str, *, at: str = "local") -> list[str]:
    """The list's lines; the status where there is none."""
    answer = get(server, f"{escape(path)}/@v/list", at=at)
    if answer.status != 200:
        return [str(answer.status)]
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert not answer.body or answer.body.endswith(b"\n")
    return answer.text.splitlines()


def latest(server: Running, path: str, *, at: str = "local") -> str:
    """The version that ``@latest`` tells; the status where there is none."""
    answer = get(server, f"{escape(path)}/@latest", at=at)
    if answer.status != 200:
        return str(answer.status)
    assert answer.header("content-type") == "application/json"
    return str(json.loads(answer.body)["Version"])


def lay(
    upstream: Upstream, path: str, *versions: str, tags: str | None = None, best: str | None = None, **more: Any
) -> dict[str, bytes]:
    """Put versions of a module at an upstream, as they are found by a module proxy.

    Args:
        tags: the text of the list, else one with these versions.
        best: the version of ``@latest``, else the last one; ``""`` leaves it away.
        more: goes to `module_zip`.

    Returns:
        The zips by version.
    """
    made = {version: module_zip(path, version, **more) for version in versions}
    text = "".join(f"{version}\n" for version in versions) if tags is None else tags
    upstream.put(f"/{escape(path)}/@v/list", text.encode(), content_type="text/plain; charset=UTF-8")
    for version, body in made.items():
        upstream.put("/" + place(path, version), body, content_type="application/zip")
        upstream.put("/" + place(path, version, "mod"), more.get("mod") or gomod(path))
        upstream.put("/" + place(path, version, "info"), told(version), content_type="application/json")
    if best != "" and (best or versions):
        upstream.put(f"/{escape(path)}/@latest", told(best or versions[-1]), content_type="application/json")
    return made


def told(version: str, time: str | None = "2025-03-04T05:06:07Z") -> bytes:
    """A version's JSON."""
    return json.dumps({"Version": version, **({"Time": time} if time else {})}).encode()
