"""The table made from the log beside the live one, in one snapshot: what is wrong with the projection."""

from typing import Literal

import msgspec

from herald.outbox.operate.rebuild.folding import COLUMNS
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch

SHOWN = 10  # ids of each kind of difference

# Rows are compared byte by byte, and as text where those differ: 1.0 and 1.00 are equal for jsonb, and not the same.
_DIFFERENCES = """
WITH differing AS (
    SELECT coalesce(f.id, l.id) AS id,
           CASE WHEN l.id IS NULL THEN 'missing' WHEN f.id IS NULL THEN 'unknown' ELSE 'different' END AS kind,
           CASE WHEN f.id = l.id THEN concat_ws(', ', {named}) ELSE '' END AS columns
    FROM {fresh} AS f FULL JOIN {live} AS l ON l.id = f.id
    WHERE f.id IS NULL OR l.id IS NULL OR f *<> l AND f::text <> l::text
)
SELECT kind, columns, count(*), (array_agg(id::text ORDER BY id))[1:{shown}]
FROM differing GROUP BY kind, columns ORDER BY kind, columns
"""
_TOLD = {"missing": "missing from messages", "unknown": "not in the log", "different": "different in"}


class Difference(msgspec.Struct, frozen=True):
    """Messages that are wrong in the same way, and the first ids of them."""

    kind: Literal["missing", "unknown", "different"]
    columns: str
    messages: int
    ids: list[str]

    def __str__(self) -> str:
        shown = ", ".join(self.ids) + (", …" if self.messages > len(self.ids) else "")
        return f"{self.messages:,} {_TOLD[self.kind]} {self.columns}".rstrip() + f": {shown}"


def compare(connection: Connection, fresh: str, live: str) -> list[Difference]:
    """What differs, in the caller's snapshot."""
    named = ", ".join(f"CASE WHEN f.{c}::text IS DISTINCT FROM l.{c}::text THEN '{c}' END" for c in COLUMNS)
    return fetch(connection, _DIFFERENCES.format(fresh=fresh, live=live, named=named, shown=SHOWN), into=Difference)
