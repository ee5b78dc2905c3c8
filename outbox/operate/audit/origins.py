"""Herald's records whose event the log does not have: Kafka knows of something that was never recorded."""

from collections.abc import Sequence

from herald.outbox.operate.audit.findings import Checked, Suspects
from herald.outbox.operate.audit.records import Own, Record
from herald.outbox.operate.audit.scope import Scope
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_named

NOT_IN_LOG = "not-in-log"

# Where a stream begins later (carried over, recovered), what came before has left with its partition; of what has
# ended, all has left. The horizon is read in the same snapshot: a closing of the books moves both at once.
_UNKNOWN = """
SELECT asked.stream_id::text, asked.version, o.type
FROM unnest(%(streams)s::uuid[], %(versions)s::integer[], %(types)s::text[]) AS asked(stream_id, version, type)
LEFT JOIN outbox AS o ON o.stream_id = asked.stream_id AND o.version = asked.version
WHERE o.type IS DISTINCT FROM asked.type AND o.type IS DISTINCT FROM 'message.recovered'
  AND asked.version >= coalesce((SELECT min(version) FROM outbox AS f WHERE f.stream_id = asked.stream_id), 1)
  AND (asked.stream_id >= (SELECT horizon FROM closing)
       OR EXISTS (SELECT FROM outbox AS f WHERE f.stream_id = asked.stream_id))
"""


class Origins:
    """Own records, compared with the log batch by batch.

    An event is committed before the relay can read it, and a record is read here before its event is looked
    up: the log cannot be behind. What a fail-over lost is such a case, and stays one until the records are
    gone: the pipeline recovers whole messages, not single events.
    """

    def __init__(self, connection: Connection, scope: Scope) -> None:
        self._connection = connection
        self._records = 0
        self._unknown, self._other = Suspects(scope.limit), Suspects(scope.limit)

    def see(self, records: Sequence[Record]) -> None:
        """Look their events up."""
        named = list({record.own for record in records if record.own is not None})
        self._records += len(named)
        for row in fetch_named(self._connection, _UNKNOWN, _asked(named)) if named else []:
            suspects = self._unknown if row["type"] is None else self._other
            suspects.add(f"{row['stream_id']}.{row['version']}")

    def checked(self) -> Checked:
        """What was seen."""
        advice = "was there a fail-over, or a restore? Compare with `GET /messages/ID/events`, then bound with --since"
        unknown, other = "{count} events on Kafka that the log does not have", "{count} that are others in the log"
        findings = [
            *self._unknown.finding(NOT_IN_LOG, "loss", unknown, advice),
            *self._other.finding(NOT_IN_LOG, "contradiction", other, advice),
        ]
        return Checked(check=NOT_IN_LOG, looked_at=f"{self._records:,} records of Herald", findings=findings)


def _asked(named: list[Own]) -> dict[str, object]:
    return {
        "streams": [own.stream for own in named],
        "versions": [own.version for own in named],
        "types": [own.type for own in named],
    }
