"""What callers and providers saw, in files of their own, compared with the log."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal
from uuid import UUID

import msgspec

from herald.outbox.operate.audit.findings import Checked, Finding, Suspects
from herald.outbox.operate.audit.scope import Scope
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_named

ACCEPTED = "accepted-not-in-log"
DELIVERED = "delivered-not-recorded"
BATCH = 1_000  # lines looked up at once

# What is older than the horizon may have left, with its history.
# A delivery is recorded as sent, as late, or as unknown; while it is `sending`, its lease is not over.
_SEEN = """
SELECT asked.id::text,
    asked.id < (SELECT horizon FROM closing) OR EXISTS (
        SELECT FROM outbox AS o WHERE o.stream_id = asked.id
    ) AS is_known,
    asked.id < (SELECT horizon FROM closing) OR EXISTS (
        SELECT FROM messages AS m WHERE m.id = asked.id AND m.status IN ('sending', 'sent')
    ) OR EXISTS (
        SELECT FROM outbox AS o WHERE o.stream_id = asked.id
        AND (o.type IN ('message.sent', 'message.unknown')
             OR o.type = 'message.late' AND o.payload ->> 'outcome' IN ('sent', 'unknown')
             OR o.type = 'message.dead_lettered' AND o.payload ->> 'reason' LIKE 'no outcome before the lease ended%%')
    ) AS is_recorded
FROM unnest(%(ids)s::uuid[]) AS asked(id)
"""


class LedgerError(Exception):
    """A line that is no entry; the text names file and line."""


class Entry(msgspec.Struct, frozen=True):
    """A line: an id, and what was seen of it."""

    id: UUID
    saw: Literal["accepted", "delivered"] = "accepted"


_decode = msgspec.json.Decoder(Entry).decode


def check_ledgers(connection: Connection, scope: Scope) -> list[Checked]:
    """Accepted and not in the log, delivered and not recorded.

    A line is read before its message is looked up. Whoever wrote `accepted` had the answer, which comes after
    the commit. Whoever wrote `delivered` saw a call that began after its claim was committed: its message is
    `sending` until the outcome, or the end of the lease, is in the log. Raises LedgerError.
    """
    accepted, delivered = Suspects(scope.limit), Suspects(scope.limit)
    counts = {"accepted": 0, "delivered": 0}
    for entries in _batches(scope.ledgers):
        seen = fetch_named(connection, _SEEN, {"ids": [str(entry.id) for entry in entries]})
        known = {row["id"]: row for row in seen}
        for entry in entries:
            counts[entry.saw] += 1
            row = known[str(entry.id)]
            if not row["is_known"]:
                accepted.add(str(entry.id))
            elif entry.saw == "delivered" and not row["is_recorded"]:
                delivered.add(str(entry.id))
    return [
        Checked(check=ACCEPTED, looked_at=f"{sum(counts.values()):,} lines", findings=_lost(accepted)),
        Checked(check=DELIVERED, looked_at=f"{counts['delivered']:,} lines", findings=_unrecorded(delivered)),
    ]


def _lost(suspects: Suspects) -> list[Finding]:
    says = "{count} messages that somebody saw and the log does not have"
    return suspects.finding(ACCEPTED, "loss", says, "look for them in a backup and on Kafka; then post them again")


def _unrecorded(suspects: Suspects) -> list[Finding]:
    says = "{count} messages were delivered, and no event says so"
    advice = "compare the provider's answer with `GET /messages/ID/events`: another attempt may deliver them twice"
    return suspects.finding(DELIVERED, "contradiction", says, advice)


def _batches(ledgers: Sequence[Path]) -> Iterator[list[Entry]]:
    for ledger in ledgers:
        with ledger.open("rb") as file:
            entries = _entries(ledger, file)
            while batch := list(islice(entries, BATCH)):
                yield batch


def _entries(ledger: Path, lines: Iterator[bytes]) -> Iterator[Entry]:
    for number, line in enumerate(lines, start=1):
        if not (text := line.strip()):
            continue
        try:
            yield _decode(text) if text.startswith(b"{") else Entry(UUID(text.decode()))
        except ValueError as error:  # msgspec's and Unicode's are ValueErrors, too
            message = f'{ledger}, line {number}: {error}; a line is an id, or {{"id": …, "saw": "accepted"}}'
            raise LedgerError(message) from None
