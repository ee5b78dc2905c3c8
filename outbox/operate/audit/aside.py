"""Rows of the log that were set aside: they wait for a person, and nothing else speaks of them."""

from herald.outbox.operate.audit.findings import Checked, Suspects
from herald.outbox.operate.audit.scope import Scope
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_named

SET_ASIDE = "set-aside"

_ASIDE = """
SELECT stream_id::text || '.' || version AS id FROM set_aside
WHERE decision IS NULL AND stream_id >= %(first_id)s::uuid ORDER BY since, position
"""


def check_aside(connection: Connection, scope: Scope) -> Checked:
    """A note, not an error: Herald has found them itself, and nothing is lost of them."""
    found = Suspects(scope.limit, (row["id"] for row in fetch_named(connection, _ASIDE, scope.values)))
    says = "{count} rows of the log could not be published and wait for a decision"
    findings = found.finding(SET_ASIDE, "note", says, "`herald set-aside list`, then publish or discard them")
    return Checked(check=SET_ASIDE, looked_at="rows that nobody has decided about", findings=findings)
