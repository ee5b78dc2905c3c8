"""Who waited for a lock for longer than a tenth of a second, as PostgreSQL itself logs it.

A machine that is busy makes everything slower, but only who waits for a lock is named: the measure is not the delay.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from tests.servers.postgres import PostgresServer

LONGEST = 0.1  # seconds
LOGGED = {
    "log_lock_waits": "on",
    "deadlock_timeout": f"{LONGEST * 1000:g}ms",  # from when on a wait is logged
    "log_line_prefix": "%p %a: ",
    "lc_messages": "C",
}
_ENDED = re.compile(
    r"^(?P<pid>\d+) (?P<name>.*?): LOG:  process \d+ (?:acquired|avoided deadlock for|still waiting for) (?P<mode>\w+)"
    r" on (?P<what>.*?) after (?P<ms>[0-9.]+) ms",
    re.MULTILINE,
)


class Wait(NamedTuple):
    """One that was logged: when it was a tenth of a second long, and again when it was over."""

    pid: int
    name: str
    mode: str
    what: str
    milliseconds: float

    def shown(self) -> str:
        return f"{self.name} waited {self.milliseconds:.0f} ms for {self.mode} on {self.what}"


class LockWaits:
    """Those from the moment at which it is made."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._read = len(server.child.output())

    def of(self, names: Collection[str]) -> list[Wait]:
        """Of sessions with these names, longest first; one that lasted has two lines."""
        said = self._server.child.output()[self._read :]
        found = [
            Wait(int(one["pid"]), one["name"], one["mode"], one["what"], float(one["ms"]))
            for one in _ENDED.finditer(said)
        ]
        return sorted((one for one in found if one.name in names), key=lambda one: -one.milliseconds)
