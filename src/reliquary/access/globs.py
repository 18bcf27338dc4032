"""Globs on names: ``*`` is any text, ``?`` one character, all else is itself, case as given."""

from __future__ import annotations

import re


def matches(pattern: str, name: str) -> bool:
    """Whether the whole of ``name`` fits ``pattern``.

    Each run between two stars is matched once and never given back, so that a pattern of many
    stars takes no exponential time.
    """
    if pattern == "*":
        return True
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    return re.fullmatch(_translate(pattern), name, re.DOTALL) is not None


def _translate(pattern: str) -> str:
    head, *rest = (_literal(piece) for piece in re.split(r"\*+", pattern))
    if not rest:
        return head
    return head + "".join(f"(?>.*?{piece})" for piece in rest[:-1]) + ".*" + rest[-1]


def _literal(piece: str) -> str:
    return "".join("." if letter == "?" else re.escape(letter) for letter in piece)
