"""The moves that every message goes through, and those that somebody decides, as the processes make them."""

from uuid import UUID

from benchmarks.growth.looks import Look
from benchmarks.letters import letters
from herald.outbox.message.notification import TOPIC
from herald.outbox.moves.accept import accept, make_acceptance
from herald.outbox.moves.cancel import cancel
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.decide import requeue
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_column
from herald.outbox.registry import DEAD_LETTERS

BATCH = 25
MOST = 1_000_000  # messages


class Moves:
    """Messages that are accepted, claimed and recorded, so many at a time, each move a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting = letters(MOST, seed=3)
        self._ids: list[UUID] = []

    def accept(self) -> None:
        batch = [make_acceptance(TOPIC, *next(self._waiting)) for _ in range(BATCH)]
        self._ids = [one.id for one in batch]
        accept(self._connection, batch)
        self._connection.commit()

    def claim(self) -> None:
        won = claim(self._connection, [Record(one, 1, "log") for one in self._ids], lease=60.0)
        self._connection.commit()
        assert len(won) == len(self._ids)

    def record(self) -> None:
        outcomes = [Outcome(id=one, attempt=1, outcome="sent") for one in self._ids]
        record_outcomes(self._connection, outcomes, dead_letters=DEAD_LETTERS)
        self._connection.commit()

    def others(self) -> None:
        """A person's and a caller's; nothing of it stays."""
        cancel(self._connection, self._ids[0])
        (dead,) = fetch_column(self._connection, "SELECT id::text FROM unsent WHERE status = 'dead' LIMIT 1")
        requeue(self._connection, [UUID(dead)])
        self._connection.rollback()

    @property
    def steps(self) -> dict[str, Look]:
        return {f"accept of {BATCH}": self.accept, f"claim of {BATCH}": self.claim, f"record of {BATCH}": self.record}
