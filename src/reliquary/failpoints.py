"""Points at which a process can be made to kill itself, so that what a kill leaves can be tested.

``RELIQUARY_FAILPOINT=name:count`` names a point and its passing, counted from 1, that is the last.
Unset, as it is for everybody but the tests, passing a point costs one check.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

VARIABLE = "RELIQUARY_FAILPOINT"
"""Environment variable that arms one point of this process."""


@dataclass
class _Fuse:
    """What is left of a count; points are passed in the event loop and in threads."""

    name: str
    left: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def burn(self, name: str) -> None:
        if name != self.name:
            return
        with self.lock:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


# The one state of a module in Reliquary: points lie in every layer, and a parameter through all of
# them would cost more than it tells.
_fuse: _Fuse | None = None


def arm(environ: Mapping[str, str]) -> None:
    """Make this process die at the point that the environment names, if it names one.

    Raises:
        ValueError: the value is not ``name:count`` with a count of at least 1.
    """
    global _fuse
    text = environ.get(VARIABLE)
    if not text:
        _fuse = None
        return
    name, _, count = text.partition(":")
    if not name or not count.isascii() or not count.isdigit() or int(count) < 1:
        raise ValueError(f"{VARIABLE} must be name:count with a count of at least 1")
    _fuse = _Fuse(name, int(count))


def reach(name: str) -> None:
    """Pass the point ``name``; does not return when it is the passing that was named."""
    if _fuse is not None:
        _fuse.burn(name)
