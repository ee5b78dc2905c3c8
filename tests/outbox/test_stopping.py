"""A process that is told to stop learns of it, whatever it is at."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import signal, sys, threading
from outbox.stopping import stop_on_signals

stop = threading.Event()
stop_on_signals(stop)
with stop._cond:  # as `wait` has it for a moment
    signal.raise_signal(signal.Signals[sys.argv[1]])
sys.exit(0 if stop.wait(10) else 1)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_interrupts_the_wait_for_it_stops_the_process(name: str) -> None:
    command = [sys.executable, "-c", PROGRAM, name]

    assert subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, timeout=30, check=False).returncode == 0
