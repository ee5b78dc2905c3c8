"""What this worker has seen of destinations since its last claim, before the database knows it.

When a destination fails, more of its messages may be claimed already. Those give their attempts back
instead of burning them; what is claimed later, the breaker in the database has let through.
"""

import threading

from herald.outbox.moves.record import Outcome


class Health:
    """Consecutive failures by destination; `threshold` of them bar what was claimed so far."""

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold
        self._lock = threading.Lock()
        self._failures: dict[str, int] = {}
        self._barred: dict[str, int] = {}
        self.generation = 0  # of claims; the worker counts them

    def note(self, outcome: Outcome) -> None:
        """Count a failure of the destination, or forget those before."""
        destination = outcome.destination
        if destination is None or outcome.outcome == "postponed":
            return
        with self._lock:
            if not outcome.is_fault:
                self._failures.pop(destination, None)
                return
            self._failures[destination] = self._failures.get(destination, 0) + 1
            if self._failures[destination] >= self._threshold:
                self._barred[destination] = self.generation

    def is_barred(self, destination: str | None, generation: int) -> bool:
        return destination is not None and generation <= self._barred.get(destination, -1)
