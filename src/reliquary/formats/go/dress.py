"""Errors as the go command shows them: plain text, a few short lines of printable characters (go.md, section 2)."""

from __future__ import annotations

from reliquary.errors import ReliquaryError
from reliquary.formats.verbs import Reply

LINES = 8
LONGEST = 648
"""Bytes of the text; the go command leaves out longer ones, those of more lines, and those with blank ones."""


def dress(error: ReliquaryError, accept: str) -> Reply:
    """An error as text, whatever was asked for."""
    lines = [line for line in map(_plain, error.message.splitlines()) if line][:LINES]
    text = "\n".join(lines).encode("utf-8", "replace")[: LONGEST - 1].decode("utf-8", "ignore").rstrip()
    return Reply(error.status, f"{text or error.code}\n".encode())


def _plain(line: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in line).strip()
