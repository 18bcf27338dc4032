"""Processor time of a running server, which a machine that others use too disturbs less than its rates."""

from __future__ import annotations

import os
from pathlib import Path


def spent(pid: int) -> float:
    """Seconds of processor time that a process and everything below it have used, to about 0.01 (proc(5), stat)."""
    # The name of the program stands in brackets, and may have blanks and brackets of its own.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK") + sum(map(spent, children(pid)))


def children(pid: int) -> list[int]:
    """The processes that a process started, and that still run."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
