"""The one list of formats."""

from __future__ import annotations

from collections.abc import Mapping

from reliquary.formats import cargo, generic, go, npm, pypi
from reliquary.formats.base import Format


def formats() -> Mapping[str, Format]:
    """Every format by its name, in the order people see them."""
    known: tuple[Format, ...] = (pypi.FORMAT, npm.FORMAT, cargo.FORMAT, go.FORMAT, generic.FORMAT)
    return {each.name: each for each in known}
