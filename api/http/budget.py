"""How many bytes of bodies this process holds at once, from their arrival until they are answered.

A body that does not fit is refused and may come again; one that is larger than all of the budget passes alone.
"""

HELD = "body_bytes"  # in a request's state: what it has taken of the budget


class Budget:
    """Counts bytes; used by one event loop."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = 0

    def take(self, count: int, *, own: int = 0) -> bool:
        """Whether `count` bytes more fit, beside `own` that their owner holds already; counts them if so."""
        others = self.held - own
        if others > 0 and self.held + count > self.size:
            return False
        self.held += count
        return True

    def give_back(self, count: int) -> None:
        """What was taken is held no longer."""
        self.held -= count
