"""Rows that a role which may INSERT can write straight into the log: whatever its constraints let in."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from herald.outbox.message.upcasting import known_schemas
from tests.proof.fuzz.values import Draw

ODD_INSTANTS = (
    "infinity",
    "-infinity",
    "4713-01-01 BC",
    "294276-12-31",
    "0001-01-01 BC",
    "epoch",
    "9999-12-31 23:59:59",
)
TOPICS = (
    "notifications",
    "generic_topic",
    "dead_letters",
    "nowhere",
    "",
    ".",
    "no topic!",
    "n" * 250,
    "ä",
    "__consumer_offsets",
)
ODD_POSITIONS = (0, -1, 1, 2**63 - 1, -(2**63))
ODD_TRANSACTIONS = (0, 3, 2**62)
ODD_FIELDS = ("request", "traceparent", "cause", "due_at", "deliver_by", "priority", "data_version", "")
LARGE = 2_000_000  # bytes
MOST_VERSION = 2**31 - 1
INSERT = "INSERT INTO outbox ({names}) VALUES ({places})"


@dataclass(frozen=True)
class Row:
    """Its columns by name, and its event's name: message and version."""

    columns: dict[str, Any]

    @property
    def stream(self) -> str:
        return str(self.columns["stream_id"])

    @property
    def event(self) -> str:
        return f"{self.stream}.{self.columns['version']}"

    @property
    def statement(self) -> str:
        return INSERT.format(names=", ".join(self.columns), places=", ".join(["%s"] * len(self.columns)))

    def shown(self) -> str:
        """As psql takes it, but for the middle of what is huge."""
        values = ", ".join(f"{name} => {str(value)[:200]!r}" for name, value in self.columns.items())
        return f"INSERT INTO outbox: {values}"


class Rower:
    """Draws row after row; `new_id` gives ids as Herald makes them."""

    def __init__(self, draw: Draw, new_id: Callable[[], UUID]) -> None:
        self._draw, self._new_id = draw, new_id
        self._types = sorted(known_schemas())

    def next(self) -> Row:
        """Of the columns that have a default some are left to it."""
        draw = self._draw
        name, schema = draw.choice(self._types)
        columns = {
            "stream_id": str(self._new_id() if draw.random() < 0.9 else draw.uuid()),
            "version": draw.choice((1, 1, 1, 2, draw.randint(1, MOST_VERSION))),
            "type": "message.requested" if draw.one_in(2) else name,
            "schema": 1 if draw.one_in(2) else schema,
            "topic": None if draw.one_in(8) else draw.choice((*TOPICS[:2], *TOPICS)),
            "key": draw.choice((None, "", "user-1", draw.text(), "k" * 100_000)),
            "payload": self._payload(),
        }
        if not draw.one_in(4):
            columns["data"] = self._data()
        if draw.one_in(4):
            columns["recorded_at"] = draw.choice(ODD_INSTANTS)
        if draw.one_in(20):
            columns["position"] = draw.choice(ODD_POSITIONS)
        if draw.one_in(20):
            columns["transaction_id"] = str(draw.choice(ODD_TRANSACTIONS))
        return Row(columns)

    def _data(self) -> str:
        draw = self._draw
        if draw.one_in(50):
            return draw.choice((json.dumps("x" * LARGE), "[" * 5000 + "]" * 5000, "1e131071", f"[{'1e1000,' * 2000}1]"))
        if draw.one_in(2):
            return json.dumps({"user_id": draw.text(), "event": "fuzz", "content": "a row", **self._more()})
        return json.dumps(draw.json())

    def _more(self) -> dict[str, Any]:
        return {self._draw.text(): self._draw.json()} if self._draw.one_in(2) else {}

    def _payload(self) -> str:
        draw = self._draw
        if draw.one_in(3):
            return json.dumps(draw.json())
        fields = {draw.choice(ODD_FIELDS): draw.json() for _ in range(draw.randint(1, 4))}
        if draw.one_in(2):
            fields["request"] = draw.choice((1, "1", 0, -1, 2**31, 1.5, "one", None, [1], True, "٣", "9" * 5000))
        return json.dumps(fields)
