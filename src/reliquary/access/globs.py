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


def covers(wide: str, narrow: str) -> bool:
    """Whether every name that fits ``narrow`` is sure to fit ``wide``.

    ``narrow`` is read as a text whose star only a star of ``wide`` can take in.
    """
    return wide == narrow or re.fullmatch(_translate(wide, one="[^*]"), narrow, re.DOTALL) is not None


def _translate(pattern: str, one: str = ".") -> str:
    head, *rest = (_literal(piece, one) for piece in re.split(r"\*+", pattern))
    if not rest:
        return head
    return head + "".join(f"(?>.*?{piece})" for piece in rest[:-1]) + ".*" + rest[-1]


def _literal(piece: str, one: str) -> str:
    return "".join(one if letter == "?" else re.escape(letter) for letter in piece)
