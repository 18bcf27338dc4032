"""What happened since the start, added up over all workers of a server.

Each worker keeps a file of its counters. A worker that is asked writes its own file before it reads
the others', so that a sum that was told once never falls.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from reliquary.web.state import State


class Tally:
    """The counters of this worker, and their sum with the others'.

    Args:
        file: this worker's own, in a folder that holds nothing but such files; None: there is one
            worker, and nothing is written.
    """

    def __init__(self, state: State, file: Path | None) -> None:
        self._state = state
        self._file = file
        self._written: Any = None

    def counts(self) -> dict[str, int]:
        """What happened, by kind, in all workers, those that ended included."""
        return self._sum("counts")

    def gauges(self) -> dict[str, int]:
        """How much there is now of what is counted, in the workers that run."""
        return self._sum("gauges")

    def write(self, *, last: bool = False) -> None:
        """Let the other workers know; a full disk makes their sums old, nothing worse."""
        figures = {"counts": dict(self._state.context.counts), "gauges": {} if last else self._gauges()}
        if self._file is None or figures == self._written:
            return
        fresh = self._file.with_suffix(".new")
        with suppress(OSError):
            fresh.write_bytes(orjson.dumps(figures))
            fresh.replace(self._file)
            self._written = figures

    def _gauges(self) -> dict[str, int]:
        context = self._state.context
        return {"hot": len(context.hot), "fills": context.fills.active()}

    def _sum(self, part: str) -> dict[str, int]:
        self.write()
        own = dict(self._state.context.counts) if part == "counts" else self._gauges()
        total = Counter(own)
        for figures in self._others():
            total.update(figures[part])
        return dict(total)

    def _others(self) -> list[dict[str, dict[str, int]]]:
        found = []
        for path in self._file.parent.glob("*.json") if self._file is not None else ():
            if path != self._file:
                with suppress(OSError, orjson.JSONDecodeError):
                    found.append(orjson.loads(path.read_bytes()))
        return found


def ended(file: Path) -> None:
    """Of a worker that was killed: what it counted stays, what it had is gone."""
    with suppress(OSError, orjson.JSONDecodeError):
        figures = orjson.loads(file.read_bytes())
        fresh = file.with_suffix(".new")
        fresh.write_bytes(orjson.dumps({**figures, "gauges": {}}))
        fresh.replace(file)
