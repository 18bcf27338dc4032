"""The arithmetic of the benchmark; that it measures at all is a test of the matrix."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from benchmarks import results
from benchmarks.load import Load, Unusable, read
from benchmarks.processor import spent

REPORT = """Running 1s test @ http://127.0.0.1:8080/
  1 threads and 16 connections
  61234 requests in 1.10s, 500.00MB read
Requests/sec:  55667.27
"""


def test_every_other_round_begins_with_the_other_side() -> None:
    assert "".join(results.turns(3, "ab")) == "abbaab"
    seen: list[str] = []

    def one() -> float:
        seen.append("one")
        return len(seen)

    def other() -> float:
        seen.append("other")
        return len(seen) * 10

    assert results.columns(2, one, other) == [[1, 4], [20, 30]]
    assert seen == ["one", "other", "other", "one"]


def test_a_row_says_how_far_its_ratio_went() -> None:
    row = results.at_most("part", "case", "s", 3, 2, "direct", 2)
    told = results.spread(row, [3, 2, 8], [2, 2, 2])
    assert list(told.spread or ()) == [1, 4]
    assert told.met == "yes", "the medians decide"
    assert "| 1.5 (1 to 4) | at most 2 x | yes |" in results.table([told])
    assert "| 1.5 | at most 2 x | yes |" in results.table([row])


def test_the_report_of_the_load_is_read() -> None:
    assert read(REPORT) == Load(55667.27, 61234)
    with pytest.raises(Unusable, match="Non-2xx"):
        read(REPORT + "  Non-2xx or 3xx responses: 12\n")
    with pytest.raises(Unusable, match="nothing usable"):
        read("unable to connect")


def test_processor_time_is_that_of_a_process_and_what_it_started() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ninput()"
    command = [sys.executable, "-c", busy]
    before = spent(os.getpid())
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
        assert 0.25 <= spent(child.pid) < 5
        assert before + 0.25 <= spent(os.getpid())
        child.communicate()
