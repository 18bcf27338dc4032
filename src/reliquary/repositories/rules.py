"""Rules on package names: globs, the first match decides."""

from __future__ import annotations

from collections.abc import Sequence

from reliquary.access.globs import matches
from reliquary.types import Rule, Verdict


def verdict(rules: Sequence[Rule], name: str) -> Verdict | None:
    """What the first matching rule says, or None when none matches."""
    for rule in rules:
        if matches(rule.pattern, name):
            return rule.verdict
    return None


def admits(rules: Sequence[Rule], name: str) -> bool:
    """Whether a proxy with these rules may ask its upstream for the name, list and serve it."""
    return verdict(rules, name) in (None, Verdict.ALLOW)
