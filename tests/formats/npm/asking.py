"""Short words for what npm's clients ask of a running server."""

from __future__ import annotations

import json
from typing import Any

from tests.formats.npm.artefacts import ABBREVIATED, published
from tests.running import Answer, Running


def publish(server: Running, name: str, version: str = "1.0.0", *, to: str = "local", **more: Any) -> Answer:
    """Publish as npm does; ``more`` goes to `artefacts.document`."""
    return server.put(f"/npm/{to}/{escaped(name)}", published(name, version, **more), Content_Type="application/json")


def put(server: Running, path: str, value: object, *, to: str = "local") -> Answer:
    """PUT a JSON value as the administrator."""
    return server.put(f"/npm/{to}/{path}", json.dumps(value).encode(), Content_Type="application/json")


def delete(server: Running, path: str, *, to: str = "local") -> Answer:
    """DELETE as the administrator."""
    return server.ask(f"/npm/{to}/{path}", method="DELETE", token=server.token)


def full(server: Running, name: str, *, at: str = "local", write: bool = False) -> dict[str, Any]:
    """The full packument; KeyError-free: an error's own object when there is none."""
    answer = server.ask(f"/npm/{at}/{escaped(name)}{'?write=true' if write else ''}")
    found: dict[str, Any] = json.loads(answer.body)
    return found


def short(server: Running, name: str, *, at: str = "local") -> dict[str, Any]:
    """The abbreviated packument."""
    found: dict[str, Any] = json.loads(server.ask(f"/npm/{at}/{escaped(name)}", headers={"Accept": ABBREVIATED}).body)
    return found


def said(answer: Answer) -> str:
    """The error that a client prints."""
    return str(json.loads(answer.body)["error"])


def escaped(name: str) -> str:
    """A name as npm writes it into addresses."""
    return name.replace("/", "%2f")
