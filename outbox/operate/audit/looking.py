"""How far an audit looks, and the second look that tells what is late from what is being done."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from herald.outbox.operate.audit.findings import Suspects
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.scheduler.duties import WATCH_TOPICS
from herald.outbox.settings import Settings

CLOCK_MARGIN = timedelta(minutes=5)  # a record's time is its producer's, a message's is the database's
SECOND_LOOK = 5.0  # seconds: what was resumed or released just now is requested within one
TOPICS_LOOK = 2 * WATCH_TOPICS + 2  # seconds in which a running relay takes a topic's new id over
_pause = threading.Event()


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
    def first_timestamp(self) -> int:
        """Milliseconds since 1970 from which records are read; 0 for all."""
        return _milliseconds(None if self.since is None else self.since - CLOCK_MARGIN)

    @property
    def values(self) -> dict[str, object]:
        """For the statements; `first_id` is the lowest one since then: a UUIDv7 begins with its milliseconds."""
        return {
            "first_id": str(UUID(int=_milliseconds(self.since) << 80)),
            "grace": self.grace,
            "late": self.late,
            "pending": self.pending,
            "limit": self.limit,
            "retention": self.settings.retention,
            "strict_topics": list(self.settings.strict_topics),
        }


def _milliseconds(when: datetime | None) -> int:
    return 0 if when is None else max(0, int(when.timestamp() * 1000))


def wait(seconds: float) -> None:
    """Until what is under way is done."""
    _pause.wait(seconds)


def look_twice(connection: Connection, query: str, scope: Scope) -> Suspects:
    """What the query finds now and has not moved when it is asked again; it asks for id, version and the total.

    At most `limit` rows, in an order in which Herald does its work: where the first of them go on moving,
    it is at work on them.
    """
    first = {(name, version) for name, version, _ in fetch(connection, query, scope.values)}
    if not first:
        return Suspects(scope.limit)
    wait(SECOND_LOOK)
    second = fetch(connection, query, scope.values)
    found = Suspects(scope.limit, (name for name, version, _ in second if (name, version) in first))
    if len(second) == scope.limit and found.count:
        found.count = max(total for *_, total in second)
    return found
