"""Values that nobody expects, drawn by a seed."""

import json
import random
from typing import Any
from uuid import UUID

ODD_TEXTS = (
    "",
    " ",
    "\0",
    "\ud800",
    "ä" * 300,
    "a\tb\r\nc",
    "🙂",
    "../..",
    "NaN",
    "'; DROP TABLE outbox; --",
    "\u202e",
)
ODD_NUMBERS = (0, -1, 1, 2**31 - 1, 2**31, 2**63, -(2**63) - 1, 10**40, 0.1, -0.0, 1e300)
ODD_JSON = (
    b"1e131071",
    b"1e400",
    b"NaN",
    b"Infinity",
    b"-",
    b"nul",
    b'"\\ud800"',
    b'"\\u0000"',
    b"[" * 2000,
    b"{}{}",
    b"",
)
ODD_DATES = (
    "infinity",
    "-infinity",
    "0001-01-01",
    "9999-12-31T23:59:59.999999Z",
    "0250-05-04T14:44:08.5772-23:35",
    "now",
)
MOST_DEPTH = 4


class Draw(random.Random):
    """Everything that is drawn comes from one of these."""

    def one_in(self, many: int) -> bool:
        return self.randrange(many) == 0

    def raw(self, most: int = 40) -> bytes:
        return self.randbytes(self.randrange(most))

    def text(self) -> str:
        """Without what cannot be encoded."""
        if self.one_in(3):
            return self.choice([text for text in ODD_TEXTS if text.isprintable()])
        return "".join(self.choices("abcdefgh 0123456789-_.:/é", k=self.randrange(20)))

    def uuid(self) -> UUID:
        return UUID(bytes=self.randbytes(16))

    def json(self, depth: int = 0) -> Any:
        """A value of any type."""
        kind = self.randrange(7 if depth < MOST_DEPTH else 5)
        if kind == 0:
            return None
        if kind == 1:
            return self.random() < 0.5
        if kind == 2:
            return self.choice(ODD_NUMBERS)
        if kind <= 4:
            return self.text()
        if kind == 5:
            return [self.json(depth + 1) for _ in range(self.randrange(4))]
        return {self.text(): self.json(depth + 1) for _ in range(self.randrange(4))}

    def json_text(self) -> bytes:
        """JSON, or nearly."""
        if self.one_in(4):
            return self.choice(ODD_JSON)
        return self.mutated(json.dumps(self.json()).encode()) if self.one_in(3) else json.dumps(self.json()).encode()

    def mutated(self, raw: bytes) -> bytes:
        """With some bytes changed, taken out, put in, doubled or cut off."""
        for _ in range(self.randint(1, 3)):
            at, end = sorted(self.choices(range(len(raw) + 1), k=2))
            change = self.randrange(5)
            if change == 0:
                raw = raw[:at] + self.raw(4) + raw[at + 1 :]
            elif change == 1:
                raw = raw[:at] + raw[min(end, at + 10) :]
            elif change == 2:
                raw = raw[:at] + raw[at : at + 10] + raw[at:]
            elif change == 3:
                raw = raw[:at]
            else:
                raw = raw[:at] + self.choice((b"\0", b"\xff", b"null", b'"', b"{", b"1e999", b"\\ud800")) + raw[at:]
        return raw
