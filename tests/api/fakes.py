"""What stands in for the committer; `test_committers.py` pins it to the real one."""

from collections.abc import Sequence

from outbox.acceptance import Acceptance
from outbox.committer import Committer, UnavailableError


class FakeCommitter(Committer):
    """Keeps what it is given; fails with `failure` when that is set."""

    def __init__(self) -> None:
        self.accepted: list[Acceptance] = []
        self.failure: Exception | None = None
        self._running = False

    def start(self) -> None:
        self._running = True

    def stop(self) -> None:
        self._running = False

    @property
    def is_alive(self) -> bool:
        return self._running

    async def submit(self, acceptances: Sequence[Acceptance]) -> None:
        if not self._running:
            message = "the committer is not running"
            raise UnavailableError(message)
        if self.failure is not None:
            raise self.failure
        self.accepted.extend(acceptances)
