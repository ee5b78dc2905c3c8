"""What Kafka refused for good ends here, with its reason, so that the cursor can pass it."""

from collections.abc import Callable, Sequence

import structlog

from herald.outbox.message.events import Requested
from herald.outbox.moves.reject import Rejection, reject
from herald.outbox.postgres.conviction import insist, narrow
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.reader import Row
from herald.outbox.relay.set_aside import Aside, set_aside
from herald.outbox.relay.unpublishable import is_request

Refused = tuple[Row, str]  # and why
_log = structlog.get_logger()


# A message knows every version up to its own: what stands beyond was written by somebody else.
_FOREIGN = """
SELECT asked.id::text, asked.version FROM unnest(%s::uuid[], %s::integer[]) AS asked(id, version)
WHERE NOT EXISTS (SELECT FROM messages AS m WHERE m.id = asked.id AND asked.version <= m.version)
"""


def record_refusals(
    connection: Connection, refused: Sequence[tuple[Row, str]], pause: Callable[[float], object]
) -> None:
    """Record each refused request as `rejected`; what asks for no message, or cannot be recorded, is set aside.

    `pause` waits for so many seconds. Raises PostgresError where that is no refusal's fault.
    """
    for row, reason in refused:
        _log.error("record_rejected", message=row[0], version=row[1], topic=row[3], reason=reason)
    requests = [one for one in refused if _asks(one[0])]
    others = [_aside(one, one[1]) for one in refused if not _asks(one[0])]
    if requests:
        others += _reject_all(connection, requests, pause)
    set_aside(connection, others)


def _asks(row: Row) -> bool:
    return row[2] == Requested.TYPE and is_request(row[7])


def _reject_all(connection: Connection, requests: list[Refused], pause: Callable[[float], object]) -> list[Aside]:
    """Those that cannot be recorded, and those that no message has made."""

    def act(some: Sequence[Refused]) -> None:
        reject(connection, [_rejection(one) for one in some])

    def probe() -> None:
        reject(connection, [])

    found = narrow(requests, act, probe)
    if found.excused:
        found = insist(found, act, probe, pause)
    foreign = set(fetch(connection, _FOREIGN, [row[0] for row, _ in requests], [row[1] for row, _ in requests]))
    nobodys = [_aside(one, one[1]) for one in requests if one[0][:2] in foreign]
    return nobodys + [_aside(one.item, one.error) for one in found.convicted if one.item[0][:2] not in foreign]


def _rejection(one: Refused) -> Rejection:
    row, reason = one
    return Rejection(row[0], row[1], int(row[7] or 0), f"Kafka refused the record: {reason}")


def _aside(one: Refused, error: Exception | str) -> Aside:
    return Aside(one[0][0], one[0][1], "refused", error)
