"""How far an audit looks, and for how long something may be late before it counts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from herald.outbox.settings import Settings

STATEMENT_TIMEOUT = 300.0  # seconds: some questions read all there is
CLOCK_MARGIN = timedelta(minutes=5)  # a record's time is its producer's, a message's is the database's


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Times in seconds: `grace` for what Herald mends by itself, `late` for dates, `pending` for a queue on Kafka.

    `since` leaves out older messages and records. Of what is found, `limit` ids are kept.
    """

    settings: Settings
    since: datetime | None = None
    grace: float = 60.0
    late: float = 30.0
    pending: float = 900.0
    limit: int = 10_000
    ledgers: tuple[Path, ...] = ()

    @property
    def first_id(self) -> str:
        """The lowest id a message accepted since then can have: a UUIDv7 begins with its milliseconds."""
        return str(UUID(int=self._milliseconds(self.since) << 80))

    @property
    def first_timestamp(self) -> int:
        """Milliseconds since 1970 from which records are read; 0 for all."""
        return self._milliseconds(None if self.since is None else self.since - CLOCK_MARGIN)

    @property
    def values(self) -> dict[str, object]:
        """For the statements."""
        return {
            "first_id": self.first_id,
            "grace": self.grace,
            "late": self.late,
            "pending": self.pending,
            "limit": self.limit,
        }

    @staticmethod
    def _milliseconds(when: datetime | None) -> int:
        return 0 if when is None else max(0, int(when.timestamp() * 1000))
