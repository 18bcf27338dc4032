"""How long a token lives, as people write it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from reliquary.errors import Malformed

_SPAN = re.compile(r"([1-9][0-9]{0,5})([hdw])\Z")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def end(text: str, now: datetime) -> datetime:
    """The time (UTC) that ``90d``, ``12h`` or ``6w`` after ``now`` is; raises Malformed."""
    match = _SPAN.match(text)
    if match is None:
        raise Malformed(f"{text[:40]!r} is no span of time; write a number with h, d or w, for instance 90d")
    try:
        return now + timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise Malformed(f"{text} is too far away") from None
