"""Load on one address by wrk, and what it counted."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping

CONNECTIONS = 16


class Unusable(Exception):
    """A measurement that says nothing: errors among the answers, or output that cannot be read."""


def rate(url: str, headers: Mapping[str, str], seconds: float) -> float:
    """Ask ``url`` over keep-alive connections for some whole seconds; returns answers a second.

    Raises:
        Unusable: an answer was an error, or a connection broke.
    """
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=seconds + 20, check=False)
    return read(done.stdout)


def read(report: str) -> float:
    """The rate in wrk's report; raises Unusable."""
    if trouble := re.search(r"(Non-2xx or 3xx responses|Socket errors): .*", report):
        raise Unusable(trouble[0])
    found = re.search(r"Requests/sec:\s+([0-9.]+)", report)
    if found is None or float(found[1]) == 0:
        raise Unusable(f"wrk reported nothing usable: {report.strip()[:200]!r}")
    return float(found[1])
