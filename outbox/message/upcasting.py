"""Stored events of earlier schemas, brought to the present one step by step.

What is stored stays as it was written. A struct that changes so that its stored events no longer fit gets the
next SCHEMA, and here a function from the fields of the schema before to its own: the payload as a
dict, and `data` as `msgspec.Raw`. It changes nothing outside and knows no time.
"""

from collections.abc import Callable
from typing import Any

from herald.outbox.message.events import TYPES

Fields = dict[str, Any]
UPCASTERS: dict[tuple[str, int], Callable[[Fields], Fields]] = {}


def known_schemas() -> set[tuple[str, int]]:
    """Every type and schema that this release reads."""
    return {(kind.TYPE, kind.SCHEMA) for kind in TYPES.values()} | UPCASTERS.keys()


def upcast(event_type: str, schema: int, fields: Fields) -> Fields:
    """The fields as the present struct has them. Raises KeyError where a step is missing."""
    for step in range(schema, TYPES[event_type].SCHEMA):
        fields = UPCASTERS[event_type, step](fields)
    return fields
