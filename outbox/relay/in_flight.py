"""A page on its way to Kafka: what of it is settled, and how."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from herald.outbox.relay.cursor import Cursor
from herald.outbox.relay.reader import Page, Row
from herald.outbox.relay.withheld import Part
from herald.outbox.watched.traces import TRACES

NOTHING: Mapping[Part, int] = {}


class InFlight:
    """A page on its way: `open` records are not yet settled; `refused`, `aside` and `unfit` ones will not be published.

    `accused` is what a broker has refused, until it is judged: `refused` ends, `aside` waits for a person.
    """

    __slots__ = (
        "accused",
        "aside",
        "began",
        "bytes",
        "cursor",
        "kept",
        "open",
        "refused",
        "rows",
        "settled",
        "traced",
        "unfit",
        "unsent",
    )

    def __init__(self, page: Page, kept: Mapping[Part, int] = NOTHING) -> None:
        self.rows = page.rows
        self.cursor: Cursor = page.cursor
        self.open = len(page.rows)
        self.bytes = sum(len(row[5] or "") for row in page.rows)
        self.kept = kept  # how many rows of what is withheld the cursor passes with this page
        self.began = time.monotonic()
        self.settled: Counter[tuple[str | None, int | None]] = Counter()  # with a key, by partition as Kafka has it
        self.refused: list[tuple[Row, str]] = list(page.refused)
        self.accused: list[tuple[Row, str]] = []
        self.aside: list[tuple[Row, str]] = []
        self.unfit: list[tuple[Row, Exception | str]] = []
        self.unsent: set[tuple[str, int]] = set()  # streams and versions
        self.traced: dict[tuple[str, int], Any] = {}  # by these, the spans of what is traced

    @property
    def sent(self) -> list[Row]:
        """Those that a producer has: they tell what is waited for."""
        return [row for row in self.rows if row[:2] not in self.unsent] if self.unsent else self.rows

    def pass_by(self, row: Row, why: Exception | str) -> None:
        """Settle a row that is given to no producer."""
        self.unfit.append((row, why))
        self.settle_unsent(row)

    def settle_unsent(self, row: Row) -> None:
        """Settle a row that no producer has."""
        self.unsent.add(row[:2])
        self.open -= 1

    def trace(self, row: Row, topic: str) -> str | None:
        """The place of the row's record in a trace; None where it is not traced."""
        if (spans := TRACES.spans) is None:
            return None
        stream, version, _type, _topic, _key, _value, _at, request, traceparent, _position = row
        if traceparent is None or not (request or "").isdecimal():
            return None
        span = spans.publishing(traceparent, stream, topic=topic, request=int(request or 0), rows=len(self.rows))
        if span is not None:
            self.traced[stream, version] = span
        return spans.place_of(span)

    def end_traces(self) -> None:
        """All of it is settled."""
        if self.traced and (spans := TRACES.spans) is not None:
            passed_by = {row[:2] for row, _ in (*self.refused, *self.aside, *self.unfit)}
            for place, span in self.traced.items():
                spans.published(span, "refused_by_kafka" if place in passed_by else None)
