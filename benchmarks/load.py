"""Load on one address by wrk, and what it counted."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

CONNECTIONS = 16


class Unusable(Exception):
    """A measurement that says nothing: errors among the answers, or output that cannot be read."""


@dataclass(frozen=True)
class Load:
    """What wrk counted: answers a second, and all of them."""

    rate: float
    answers: int


def rate(url: str, headers: Mapping[str, str], seconds: float) -> float:
    """Answers a second; see `load`."""
    return load(url, headers, seconds).rate


def load(url: str, headers: Mapping[str, str], seconds: float) -> Load:
    """Ask ``url`` over keep-alive connections for some whole seconds.

    Raises:
        Unusable: an answer was an error, or a connection broke.
    """
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=seconds + 20, check=False)
    return read(done.stdout)


def read(report: str) -> Load:
    """The figures in wrk's report; raises Unusable."""
    if trouble := re.search(r"(Non-2xx or 3xx responses|Socket errors): .*", report):
        raise Unusable(trouble[0])
    found = re.search(r"Requests/sec:\s+([0-9.]+)", report)
    answers = re.search(r"(\d+) requests in ", report)
    if found is None or answers is None or float(found[1]) == 0:
        raise Unusable(f"wrk reported nothing usable: {report.strip()[:200]!r}")
    return Load(float(found[1]), int(answers[1]))
