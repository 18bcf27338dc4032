"""Tokens: 256 random bits behind a prefix that secret scanners can know; kept as their SHA-256."""

from __future__ import annotations

import hashlib
import re
import secrets

from reliquary.errors import Malformed
from reliquary.types import Action, Scope

PREFIX = "rlq_"
SHOWN = len(PREFIX) + 6
"""How many characters of a token may be shown to tell it from others."""

_TEXT = re.compile(r"rlq_[A-Za-z0-9_-]{43}\Z")
_SCOPE = re.compile(r"[!-~]+\Z")


def mint() -> tuple[str, str]:
    """A new token: its text, to be shown once, and the hash that is kept."""
    text = PREFIX + secrets.token_urlsafe(32)
    return text, digest(text)


def digest(text: str) -> str:
    """The SHA-256 of a token's text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_token(text: str) -> bool:
    """Whether the text has a token's form; says nothing of whether it is good."""
    return _TEXT.match(text) is not None


def parse_scope(text: str) -> Scope:
    """Read ``actions[:repositories[:packages]]``, each a list with commas.

    ``read,publish:pypi/local:acme-*`` is one scope; what is left out is ``*``. Raises Malformed.
    """
    if not _SCOPE.match(text):
        raise Malformed(f"{text!r} is no scope: it is empty, or holds spaces or control characters")
    actions, *globs = text.split(":", 2)
    lists = [tuple(part.split(",")) for part in globs]
    if any(not glob for part in lists for glob in part):
        raise Malformed(f"{text!r} is no scope: a pattern in it is empty")
    repositories, packages = (*lists, ("*",), ("*",))[:2]
    return Scope(_actions(actions), repositories, packages)


def _actions(text: str) -> frozenset[Action]:
    try:
        return frozenset(Action(word) for word in text.split(","))
    except ValueError:
        known = ", ".join(Action)
        raise Malformed(f"{text!r} names an action that is none of {known}") from None


def format_scope(scope: Scope) -> str:
    """The text ``parse_scope`` reads, in one spelling."""
    actions = ",".join(action for action in Action if action in scope.actions)
    parts = [actions, ",".join(scope.repositories), ",".join(scope.packages)]
    while len(parts) > 1 and parts[-1] == "*":
        parts.pop()
    return ":".join(parts)
