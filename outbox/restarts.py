"""When a process that ended starts again, and a round of a pipeline.

Who had been ready for ten seconds and was killed starts again at once: its end says nothing against the next
start. Whoever ends otherwise backs off.
"""

from dataclasses import dataclass

FIRST_DELAY = 0.2  # seconds before the first restart; each further one in a row waits twice as long
LONGEST_DELAY = 10.0  # seconds between restarts at most
HEALTHY = 10.0  # seconds a process must live to be forgiven its earlier ends, or be ready to be started at once


@dataclass
class Restarts:
    """Of one process and those that take its place; moments in seconds by one clock."""

    due_at: float = 0.0
    in_a_row: int = 0  # how often it ended by itself since it last lived well

    def note_end(self, now: float, *, code: int, started_at: float, ready_at: float) -> float:
        """It has ended by itself, with Popen's return code; seconds until it is due again."""
        self.in_a_row = 1 if now - started_at >= HEALTHY else self.in_a_row + 1
        was_ready, was_killed = now - ready_at >= HEALTHY, code < 0
        if was_ready and was_killed:
            self.in_a_row = 0
        wait = pause(self.in_a_row)
        self.due_at = now + wait
        return wait


def pause(ends: int) -> float:
    """Seconds until the next start after so many ends in a row."""
    return min(FIRST_DELAY * 2.0 ** min(ends - 1, 9), LONGEST_DELAY) if ends else 0.0


def describe(code: int) -> str:
    """How a process ended, from Popen's return code."""
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
