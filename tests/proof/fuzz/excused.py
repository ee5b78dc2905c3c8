"""What the document allows and Herald refuses: only what a JSON schema cannot say, each with its reason."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Excuse:
    """A refusal with this status, whose field and detail fit (regular expressions), and why no schema says it."""

    status: int
    field: str
    detail: str
    reason: str

    def fits(self, status: int, error: dict[str, Any]) -> bool:
        return (
            status == self.status
            and re.fullmatch(self.field, error["field"]) is not None
            and re.search(self.detail, error["detail"]) is not None
        )


EXCUSES = (
    Excuse(400, r".*", r"^Expected `.*\bint\b.*`, got `float`$", "a JSON schema takes 5.0 for an integer"),
    Excuse(
        400,
        r"(.*\.)?deliver_(at|by)",
        r"days ahead|has passed already|must come after deliver_at",
        "a date's bounds move with the clock and with the date beside it",
    ),
    Excuse(
        400,
        r"(.*\.)?(deliver_at|deliver_by|since|until)",
        r"outside the years 1 to 9999",
        "the year in UTC follows from date and offset",
    ),
    Excuse(400, r"(.*\.)?address", r"", "which text is an address depends on the channel, and on more than a pattern"),
    Excuse(400, r"(.*\.)?(subject|event)", r"no control characters", "an encoded word may hide one"),
    Excuse(400, r"key", r"must be data\.user_id", "two fields are to be equal"),
    Excuse(400, r"items\[\d+\]\.user_ids\[\d+\]", r"stands there twice", "43 and the text 43 are the same user"),
    Excuse(400, r"items", r"once every user_ids is expanded", "a sum over items"),
    Excuse(400, r"body", r"nested deeper", "depth is nothing a schema counts"),
    Excuse(400, r"data.*", r"", "an edit is held to the topic of the message that has this id"),
    Excuse(422, r"Idempotency-Key", r"belongs to another request", "what was sent before under this key"),
)


def excuse_for(status: int, errors: Sequence[dict[str, Any]]) -> str | None:
    """The first excuse's reason, where there is one for each error."""
    found = [next((one.reason for one in EXCUSES if one.fits(status, error)), None) for error in errors]
    return found[0] if found and None not in found else None
