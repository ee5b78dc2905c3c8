"""Who is red and who green, asked by each probe five times a second, as a supervisor of processes would."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from threading import Event
from time import monotonic

from tests.servers.meanwhile import Meanwhile

PAUSE = 0.2  # seconds between two questions
PATIENCE = 2.0  # seconds for an answer; none is red
STATES = ("live", "ready")
SILENT = "no answer"
Probe = tuple[str, str]  # role and state


@dataclass(frozen=True)
class Seen:
    """From `at` on, by the monotonic clock; `why` is what was said, or that nothing was."""

    at: float
    is_green: bool
    why: str


class Watching(Meanwhile):
    """Of the processes that show themselves on these ports, by role."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self.seen: dict[Probe, list[Seen]] = {(role, state): [] for role in ports for state in STATES}
        super().__init__(*(partial(self._run, probe, ports[probe[0]]) for probe in self.seen))

    def is_green(self, probe: Probe) -> bool:
        return bool(self.seen[probe]) and self.seen[probe][-1].is_green

    @property
    def all_green(self) -> bool:
        return all(map(self.is_green, self.seen))

    def red_since(self, began: float) -> dict[Probe, Seen]:
        """Who was red, and since when first."""
        seen = [(probe, one) for probe, found in self.seen.items() for one in reversed(found)]
        return {probe: one for probe, one in seen if one.at >= began and not one.is_green}

    def _run(self, probe: Probe, port: int, stop: Event) -> None:
        seen = self.seen[probe]
        while not stop.wait(PAUSE):
            is_green, why = ask(port, probe[1])
            if not seen or seen[-1].is_green != is_green or (not is_green and seen[-1].why != why):
                seen.append(Seen(monotonic(), is_green, why))


def ask(port: int, state: str) -> tuple[bool, str]:
    """Whether it is green, and what is said."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/{state}", timeout=PATIENCE) as answer:
            return True, answer.read().decode()
    except urllib.error.HTTPError as error:
        return False, error.read().decode()
    except OSError as error:
        return False, f"{SILENT}: {error}"
