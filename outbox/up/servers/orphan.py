"""A PostgreSQL that outlived a killed `herald up`, and the lock files that a dead one left.

Whoever calls this holds the lock of the data folder: no other `herald up` can be using the server.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from herald.outbox.up.servers.placement import SOCKET
from herald.outbox.up.supervisor.signals import Signals

STEPS = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 2.0))  # seconds each may take
LOOK = 0.05  # seconds between two looks at a process that is not our child


def stop_orphan(data: Path, socket: Path, signals: Signals) -> None:
    """Stop the server that still runs on `data`; remove lock files whose process id is now another program's.

    PostgreSQL itself removes a lock file whose process is gone, but refuses to start when the number was given
    to somebody else of the same user: usual in a container, where the numbers begin anew at each start.
    """
    pid = _recorded_pid(data / "postmaster.pid")
    if pid is None or not _lives(pid):
        return
    if not _is_server_of(pid, data):
        (data / "postmaster.pid").unlink(missing_ok=True)
        (socket / f"{SOCKET}.lock").unlink(missing_ok=True)
        return
    for number, seconds in STEPS:
        if _ended_by(pid, data, number, seconds, signals):
            return


def _recorded_pid(lock: Path) -> int | None:
    try:
        return int(lock.read_text().splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_server_of(pid: int, data: Path) -> bool:
    """Whether this process is the postmaster of `data`: it works in that folder."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
        except OSError:
            return False
    shown = subprocess.run(["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603
    return "postgres" in shown.stdout and str(data) in shown.stdout


def _ended_by(pid: int, data: Path, number: signal.Signals, seconds: float, signals: Signals) -> bool:
    """Ask whether it still serves, not whether it lives: nobody may be there to reap an orphan."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    for _ in range(int(seconds / LOOK)):
        if not _is_server_of(pid, data):
            return True
        signals.wait_unless_stopping(LOOK)
    return not _is_server_of(pid, data)
