"""One claimed attempt."""

import msgspec

from herald.pipeline.consume.record import Request

COPIES = 3  # of a record's value, while its attempt is under way


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """A request that was claimed; `deadline` by the monotonic clock: no call may begin after it.

    `uncounted` of the attempts so far do not count, `unknowns` of their outcomes are not known. `generation` tells
    claims apart: see `Health`. `is_async`: a coroutine makes it, on the loop.
    """

    request: Request
    number: int
    deadline: float
    destination: str | None = None
    uncounted: int = 0
    unknowns: int = 0
    is_probe: bool = False
    generation: int = 0
    is_async: bool = False

    @property
    def size(self) -> int:
        """Bytes that it holds, about: the value as it came, as its topic reads it, and as it is sent."""
        return COPIES * self.request.arrival.size

    @property
    def counted(self) -> str | None:
        """The destination whose breaker counts this attempt; None where nothing is outside."""
        return self.destination if self.destination is not None and ":" in self.destination else None
