"""The clock of the tests moves what a process takes for the date, and nothing else."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.moved_clock import MovedClock, find_library

CLOSE = 60.0  # seconds that the child may take
CHILD = """
import sys, time
for line in sys.stdin:
    print(time.time(), time.monotonic(), flush=True)
"""


@pytest.mark.skipif(find_library() is None, reason="libfaketime is for Linux on x86-64")
def test_a_clock_moves_the_date_of_a_running_process_and_no_duration(tmp_path: Path) -> None:
    clock = MovedClock(tmp_path / "clock")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], env=clock.settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def told() -> tuple[float, float]:
        """How far its two clocks are ahead of those of this process."""
        assert child.stdin
        assert child.stdout
        child.stdin.write("\n")
        child.stdin.flush()
        date, duration = child.stdout.readline().split()
        return float(date) - time.time(), float(duration) - time.monotonic()

    with child:
        for seconds in (0, 7200, -172_800):
            clock.move(seconds)
            date, duration = told()
            assert (round(date / CLOSE), round(duration / CLOSE)) == (seconds / CLOSE, 0)
        assert child.stdin
        child.stdin.close()
