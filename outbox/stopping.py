"""How a process is told to stop, and how it leaves whatever its clients do.

A client of Kafka that is stuck can block whoever destroys it, for ever, and the interpreter destroys all of them at
its end. So a process that has done its work leaves without that, and one that hangs is ended from outside the
interpreter, after so many seconds.
"""

import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from typing import NoReturn

from herald.outbox.threads import Thread

LEAVE = 10.0  # seconds after SIGTERM, or after what is open has ended, until a process is ended hard
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop(threading.Event):
    """Set once the process is told to stop. A part of its life ends with it, or before, by an event of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._part = threading.Event()

    def part(self) -> threading.Event:
        """What is to be waited for in the part that begins now; the part before is over."""
        self._part = part = threading.Event()
        if self.is_set():
            part.set()
        return part

    def set(self) -> None:
        super().set()
        self._part.set()


def stop_on_signals(stop: threading.Event, *, leave_within: float | None = None) -> None:
    """SIGTERM and SIGINT set `stop`, from now on and until the process ends; call it in the main thread.

    `leave_within`: seconds after which the process is ended, with exit code 1, if it is still there. A thread waits for
    the signal's number on a socket: the main thread may have the event's own lock, or be in a call that never returns.
    """
    heard, told = socket.socketpair()
    told.settimeout(0)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(told.detach(), warn_on_full_buffer=False)
    Thread(_listen, "stop", args=(heard, stop, leave_within)).start()


def _listen(heard: socket.socket, stop: threading.Event, leave_within: float | None) -> None:
    while number := heard.recv(1):
        if number[0] not in SIGNALS:
            continue
        is_first = not stop.is_set()
        stop.set()  # first: whoever calls an end off looks afterwards whether it is
        if leave_within is not None and is_first:
            end_hard_in(leave_within)


def end_hard_in(seconds: float) -> None:
    """End the process then, with exit code 1, whatever its threads do; they are named on standard error."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)


def call_off_end(stop: threading.Event, *, leave_within: float) -> None:
    """What `end_hard_in` was to end is over; where the process is told to stop it has so many seconds from now."""
    faulthandler.cancel_dump_traceback_later()
    if stop.is_set():
        end_hard_in(leave_within)


def leave(code: int) -> NoReturn:
    """End the process now, without destroying what is left of it."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
