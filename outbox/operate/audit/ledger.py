"""What callers and providers saw, in files of their own, compared with the log."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal
from uuid import UUID

import msgspec

from herald.outbox.operate.audit.findings import Checked, Suspects
from herald.outbox.operate.audit.looking import Scope
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch

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
             OR o.type = 'message.dead_lettered' AND o.payload ->> 'code' = 'lease_ended')
    ) AS is_recorded
FROM unnest(%(ids)s::uuid[]) AS asked(id)
"""
_LOST = (
    "{count} messages that somebody saw and the log does not have",
    "look for them in a backup and on Kafka; then post them again",
)
_UNRECORDED = (
    "{count} messages were delivered, and no event says so",
    "compare the provider's answer with `GET /messages/ID/events`: another attempt may deliver them twice",
)


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
    lost, unrecorded = Suspects(scope.limit), Suspects(scope.limit)
    counts = {"accepted": 0, "delivered": 0}
    for entries in _batches(scope.ledgers):
        seen = fetch(connection, _SEEN, {"ids": [str(entry.id) for entry in entries]})
        known = {UUID(name): (is_known, is_recorded) for name, is_known, is_recorded in seen}
        for entry in entries:
            counts[entry.saw] += 1
            is_known, is_recorded = known[entry.id]
            if not is_known:
                lost.add(str(entry.id))
            elif entry.saw == "delivered" and not is_recorded:
                unrecorded.add(str(entry.id))
    return [
        Checked("accepted-not-in-log", f"{sum(counts.values()):,} lines", lost.found("loss", *_LOST)),
        Checked(
            "delivered-not-recorded",
            f"{counts['delivered']:,} lines",
            unrecorded.found("contradiction", *_UNRECORDED),
        ),
    ]


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
