"""A process that is told to stop learns of it, whatever it is at."""

import subprocess
import sys
from time import monotonic

import pytest

from tests.conftest import ROOT

PROGRAM = """
import signal, sys, threading
from herald.outbox.stopping import stop_on_signals

stop = threading.Event()
stop_on_signals(stop)
with stop._cond:  # as `wait` has it for a moment
    signal.raise_signal(signal.Signals[sys.argv[1]])
sys.exit(0 if stop.wait(10) else 1)
"""

STUCK = """
import ctypes, signal, threading
from herald.outbox.stopping import stop_on_signals

stop_on_signals(threading.Event(), leave_within=0.5)
signal.raise_signal(signal.SIGTERM)
ctypes.CDLL(None).sleep(30)  # a call that never returns
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_interrupts_the_wait_for_it_stops_the_process(name: str) -> None:
    command = [sys.executable, "-c", PROGRAM, name]

    assert subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, timeout=30, check=False).returncode == 0


def test_a_process_that_hangs_is_ended_in_time() -> None:
    began = monotonic()

    done = subprocess.run([sys.executable, "-c", STUCK], env={"PYTHONPATH": str(ROOT)}, timeout=30, check=False)

    assert done.returncode == 1
    assert monotonic() - began < 10
