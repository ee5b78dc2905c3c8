"""Messages that wait on topics without a consumer: nothing will happen to them before the topic is registered again."""

from herald.outbox.operate.audit.findings import Checked, Finding
from herald.outbox.operate.audit.scope import Scope
from herald.outbox.operate.status.database import UNCONSUMED
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_named
from herald.outbox.registry import TOPICS

NO_CONSUMER = "no-consumer"
_ADVICE = "register the topic again, in relay and pipeline: then they are delivered"


def check_consumers(connection: Connection, scope: Scope) -> Checked:
    """A finding for each topic. The registry is that of the release that audits."""
    found = fetch_named(connection, UNCONSUMED, {"topics": list(TOPICS), "limit": scope.limit})
    findings = [
        Finding(
            check=NO_CONSUMER,
            severity="late",
            count=row["count"],
            ids=row["ids"],
            says=f"topic {row['topic']} has {row['count']:,} messages waiting and no consumer",
            advice=_ADVICE,
        )
        for row in found
    ]
    return Checked(check=NO_CONSUMER, looked_at=f"all but {', '.join(TOPICS)}", findings=findings)
