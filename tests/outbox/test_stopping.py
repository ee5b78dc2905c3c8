"""A process that is told to stop learns of it, whatever it is at."""

import subprocess
import sys

import pytest

from herald.outbox.stopping import Stop
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

CALLED_OFF = """
import ctypes, sys
from herald.outbox.stopping import Stop, call_off_end, end_hard_in

stop = Stop()
if sys.argv[1] == "told":
    stop.set()
end_hard_in(0.5)
call_off_end(stop, leave_within=0.5)
ctypes.CDLL(None).sleep(int(sys.argv[2]))
"""


def run(program: str, *arguments: str) -> int:
    """Its exit code; all of them hang for half a minute at most."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, timeout=60, check=False).returncode


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_interrupts_the_wait_for_it_stops_the_process(name: str) -> None:
    assert run(PROGRAM, name) == 0


def test_a_process_that_hangs_is_ended_in_time() -> None:
    assert run(STUCK) == 1


def test_an_end_that_was_called_off_does_not_come() -> None:
    assert run(CALLED_OFF, "not told", "2") == 0


def test_who_is_told_to_stop_is_ended_in_time_whatever_was_called_off() -> None:
    assert run(CALLED_OFF, "told", "30") == 1


def test_a_part_is_over_when_all_is_or_before() -> None:
    stop = Stop()
    first = stop.part()
    first.set()
    second = stop.part()
    assert not any(one.is_set() for one in (stop, second))

    stop.set()

    assert second.is_set()
    assert stop.part().is_set()
