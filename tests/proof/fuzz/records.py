"""Records that anybody may put on a topic: random, mutated, and copies of Herald's own with one thing changed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from herald.outbox.registry import DEAD_LETTERS
from tests.proof.fuzz.values import ODD_DATES, Draw

Header = tuple[str, bytes | None]
FIRST = 1_000_000_000  # the number of the first record; those of good messages lie below
HUGE = 900_000  # bytes; the broker takes a million
NAMES = (
    "ce_specversion", "ce_source", "ce_id", "ce_type", "ce_time", "ce_subject", "ce_request", "ce_partitionkey",
    "ce_heraldinstance", "content-type", "traceparent", "herald_topic", "herald_offset", "herald_reason", "",
)  # fmt: skip
CHANNELS = ("log", "webhook", "email", "apprise", "pigeon")


@dataclass(frozen=True)
class Forged:
    """One record; `kind` says how it was made, `number` stands in its data where that is what it looks like."""

    number: int
    kind: str
    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: list[Header] = field(default_factory=list)
    timestamp: int = 0  # milliseconds since 1970; 0 is now

    def shown(self) -> str:
        """As it can be pasted into a program, but for the middle of what is huge."""
        headers = ", ".join(f"({name!r}, {_short(value)})" for name, value in self.headers)
        what = f"{self.topic!r}, {_short(self.value)}, {_short(self.key)}, headers=[{headers}]"
        return f"{self.kind}: produce({what}, timestamp={self.timestamp})"


def _numbered(value: bytes, number: int) -> bytes:
    data = json.loads(value)
    return json.dumps({**data, "content": str(number)} if "content" in data else {**data, "number": number}).encode()


def _short(raw: bytes | None) -> str:
    return repr(raw) if raw is None or len(raw) < 500 else f"{raw[:100]!r} * {len(raw) // 100}"


class Forger:
    """Draws record after record. `address` is a provider's that counts its calls."""

    def __init__(self, draw: Draw, address: str, source: str = "/herald") -> None:
        self._draw, self._address, self._source = draw, address, source.encode()
        self._number = FIRST
        self._kinds: Sequence[tuple[int, Callable[[], Forged]]] = (
            (6, self.good),
            (3, self._mutated),
            (2, self._any_bytes),
            (2, self._any_json),
            (4, self._odd_headers),
            (1, self._odd_key),
            (1, self._odd_date),
            (1, self._without_value),
            (1, self._on_dead_letters),
        )

    def next(self, own: Sequence[Forged]) -> Forged:
        """The next one; `own` are records of Herald's that may be copied."""
        self._number += 1
        if self._draw.one_in(400):
            return self._huge()
        if own and self._draw.random() < 0.35:
            return self._copied(self._draw.choice(own))
        weights = [weight for weight, _ in self._kinds]
        ((_, make),) = self._draw.choices(self._kinds, weights)
        return make()

    def good(self) -> Forged:
        """What another producer should write."""
        if self._draw.one_in(3):
            data = {"number": self._number, "more": self._draw.json()}
            return Forged(self._number, "good", "generic_topic", json.dumps(data).encode())
        return Forged(self._number, "good", "notifications", json.dumps(self._letter()).encode())

    def _letter(self) -> dict[str, object]:
        letter: dict[str, object] = {"user_id": f"fuzz-{self._draw.randrange(50)}", "event": "fuzz"}
        letter |= {"content": str(self._number), "channel": "webhook", "address": self._address}
        if self._draw.one_in(4):
            letter[self._draw.choice((*letter, "priority", "deliver_by", "more"))] = self._draw.json()
        if self._draw.one_in(8):
            letter |= {"channel": self._draw.choice(CHANNELS), "address": self._draw.text()}
        if self._draw.one_in(12):
            letter[self._draw.choice(("deliver_at", "deliver_by"))] = self._draw.choice(ODD_DATES)
        return letter

    def _mutated(self) -> Forged:
        good = self.good()
        return replace(good, kind="mutated", value=self._draw.mutated(good.value or b""))

    def _any_bytes(self) -> Forged:
        return Forged(self._number, "bytes", self._topic(), self._draw.raw(200))

    def _any_json(self) -> Forged:
        return Forged(self._number, "JSON", self._topic(), self._draw.json_text())

    def _odd_headers(self) -> Forged:
        headers = [(self._draw.choice(NAMES), self._header_value()) for _ in range(self._draw.randint(1, 8))]
        if self._draw.one_in(20):
            headers *= 200
        return replace(self.good(), kind="odd headers", headers=headers)

    def _header_value(self) -> bytes | None:
        values = (
            None,
            b"",
            self._source,
            str(self._draw.uuid()).encode(),
            b"1",
            b"-1",
            b"99999999999",
            self._draw.raw(),
        )
        return self._draw.choice((*values, self._draw.text().encode(), self._draw.choice(ODD_DATES).encode(), b"\0"))

    def _odd_key(self) -> Forged:
        key = self._draw.choice((b"", b"\xff", b"\0", b"k" * 100_000, self._draw.raw(), self._draw.text().encode()))
        return replace(self.good(), kind="odd key", key=key)

    def _odd_date(self) -> Forged:
        timestamp = self._draw.choice((1, 1000, 10**12, 4 * 10**12, 2**48 - 1, 2**62))
        return replace(self.good(), kind="odd date", timestamp=timestamp)

    def _without_value(self) -> Forged:
        value = self._draw.choice((None, b""))
        return Forged(self._number, "no value", self._topic(), value, self._draw.raw() or None)

    def _on_dead_letters(self) -> Forged:
        headers: list[Header] = [
            ("herald_topic", b"notifications"),
            ("herald_partition", self._draw.raw()),
            ("herald_offset", b"1"),
        ]
        return replace(self._odd_headers(), kind="on dead_letters", topic=DEAD_LETTERS, headers=headers)

    def _huge(self) -> Forged:
        letter = {**self._letter(), "content": "x" * HUGE}
        value = self._draw.choice((b"x" * HUGE, b"[" * HUGE, json.dumps(letter).encode(), b"1" * HUGE))
        return Forged(self._number, "huge", self._topic(), value)

    def _copied(self, own: Forged) -> Forged:
        """One thing of it is changed, or nothing."""
        record = replace(own, number=self._number)
        if self._draw.one_in(2):
            return self._with_another_header(record)
        changed = {
            "copy": record,
            "copy with another value": replace(record, value=json.dumps(self._letter()).encode()),
            "copy without value": replace(record, value=None),
            "copy without headers": replace(record, headers=[]),
        }
        kind = self._draw.choice(list(changed))
        return replace(changed[kind], kind=kind)

    def _with_another_header(self, record: Forged) -> Forged:
        """Without it, or with it twice, null or changed; the data has a number of its own, to be told apart by."""
        at = self._draw.randrange(len(record.headers))
        name, text = record.headers[at]
        before, after = record.headers[:at], record.headers[at + 1 :]
        other = self._draw.choice((self._header_value(), self._draw.mutated(text or b"")))
        changed: dict[str, list[Header]] = {
            f"copy without {name}": [*before, *after],
            f"copy with a doubled {name}": [*record.headers, (name, other)],
            f"copy with {name} null": [*before, (name, None), *after],
            f"copy with another {name}": [*before, (name, other), *after],
        }
        kind = self._draw.choice(list(changed))
        value = _numbered(record.value or b"", self._number)
        return replace(record, kind=kind.replace(f" {name}", " header"), value=value, headers=changed[kind])

    def _topic(self) -> str:
        return self._draw.choice(("notifications", "generic_topic"))
