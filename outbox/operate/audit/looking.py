"""The second look that tells what is late from what is being done."""

import threading
from collections.abc import Mapping
from typing import Any

from herald.outbox.operate.audit.findings import Suspects
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_named

SECOND_LOOK = 5.0  # seconds: what was resumed or released just now is requested within one
_pause = threading.Event()


def wait(seconds: float) -> None:
    """Until what is under way is done."""
    _pause.wait(seconds)


def look_twice(connection: Connection, query: str, values: Mapping[str, Any]) -> Suspects:
    """What the query finds now and has not moved when it is asked again; it asks for `id`, `version` and `total`.

    At most `limit` rows, in an order in which Herald does its work: where the first of them go on moving,
    it is at work on them.
    """
    limit = values["limit"]
    first = {(row["id"], row["version"]) for row in fetch_named(connection, query, values)}
    if not first:
        return Suspects(limit)
    wait(SECOND_LOOK)
    second = fetch_named(connection, query, values)
    still = [row for row in second if (row["id"], row["version"]) in first]
    found = Suspects(limit, (row["id"] for row in still))
    if len(second) == limit and still:
        found.count = max(row["total"] for row in second)
    return found
