"""Places where tests end or stop a process: each one lies between two steps that belong together.

`HERALD_CRASH_AT=relay.published:3:KILL` ends the process when it comes to that place for the third time,
as `kill -9` would; `:STOP` freezes it there. Read once, when this module is imported: unset, `reach`
does nothing (30 ns). It is for tests, and no setting of Herald.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from itertools import count

VARIABLE = "HERALD_CRASH_AT"
BAD_SETTING = 2  # exit code

DUTIES = ("partitions", "leases", "expiry", "due", "lines", "requeues", "keys", "topics", "pages", "lost")

POINTS = (
    "api.taken",  # commands are taken from the queue, nothing is written
    "api.written",  # written, before COMMIT
    "api.committed",  # after COMMIT, nobody is answered
    "api.answered",  # the callers are answered, the relay is not told
    "relay.locked",  # has the lock, has not taken the cursor over
    "relay.leading",  # has taken the cursor over, has published nothing
    "relay.read",  # a page is read, nothing of it is published
    "relay.published",  # a page is handed to the producer
    "relay.settled",  # Kafka has a page, the cursor is not saved
    "relay.saved",  # the cursor is saved
    *(f"scheduler.{duty}.{moment}" for duty in DUTIES for moment in ("begun", "done")),
    "pipeline.received",  # records are taken, nothing is claimed
    "pipeline.written",  # outcomes and claims are written, before COMMIT
    "pipeline.claimed",  # attempts are claimed, none is begun
    "pipeline.delivering",  # just before a call
    "pipeline.delivered",  # just after a call, its outcome is not recorded
    "pipeline.recorded",  # outcomes are recorded
    "pipeline.flushed",  # a window is claimed, its offsets are not committed
)
SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}

FORM = "<point>:<times>:<signal>"
Reach = Callable[[str], None]


def _pass(_point: str) -> None:
    """Nothing is set."""


def armed(setting: str | None) -> Reach:
    """What `reach` has to do. Raises ValueError for a setting that is none."""
    if not setting:
        return _pass
    place, times, number = _parse(setting)
    passed = count(1)

    def reach(point: str) -> None:
        if point == place and next(passed) == times:
            _say(f"{VARIABLE}: reached {place} for the {times}. time: {number.name}")
            # to this thread, so that it does not get one step further before the others are told
            signal.pthread_kill(threading.get_ident(), number)

    _say(f"{VARIABLE}: this process gets a {number.name} when it reaches {place} for the {times}. time")
    return reach


def _parse(setting: str) -> tuple[str, int, signal.Signals]:
    place, times, name = [*setting.split(":"), "", ""][:3]
    problem = None
    if setting.count(":") != FORM.count(":") or place not in POINTS:
        problem = f"{setting!r} is not {FORM}; the points are {', '.join(POINTS)}"
    elif not times.isdecimal() or not int(times):
        problem = f"{times!r} is not a number from 1 on"
    elif name not in SIGNALS:
        problem = f"{name!r} is not one of {', '.join(SIGNALS)}"
    if problem:
        message = f"{VARIABLE}: {problem}"
        raise ValueError(message)
    return place, int(times), SIGNALS[name]


def _say(text: str) -> None:
    """Past the log, which may not be set up yet, and unbuffered."""
    os.write(sys.stderr.fileno(), f"{text}\n".encode())


def _from_environment() -> Reach:
    try:
        return armed(os.environ.get(VARIABLE))
    except ValueError as error:
        _say(str(error))
        sys.exit(BAD_SETTING)


reach = _from_environment()
