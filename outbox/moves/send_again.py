"""Sending again: what is over, as a new message that names the first and carries what that carried last."""

from typing import NamedTuple
from uuid import UUID

from herald.outbox.message.state import FINAL, Status
from herald.outbox.moves.cancel import ANY, Reach
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_one

SEND_AGAIN = """
SELECT status, again::text
FROM send_again(%(id)s::uuid, %(topics)s::text[], %(whose)s::text[], %(actor)s::text, %(traceparent)s::text)
"""


class SentAgain(NamedTuple):
    """Where the first message stands, and the id of the new one; None where there is none."""

    status: Status
    id: UUID | None

    @property
    def refusal(self) -> str:
        """Why there is none."""
        if self.status in FINAL:
            return f"it is {self.status}, and what it carried is not in the log any more"
        return f"it is {self.status}: it can be sent again once it is over"


def send_again(
    connection: Connection,
    message_id: UUID,
    *,
    reach: Reach = ANY,
    actor: str | None = None,
    traceparent: str | None = None,
) -> SentAgain | None:
    """Accept it anew, in the caller's transaction. None when there is no such message within reach.

    It leaves at once and has no deadline; priority and data are the first one's, which stays as it is.
    """
    values = {"id": str(message_id), **reach.values, "actor": actor, "traceparent": traceparent}
    status, again = fetch_one(connection, SEND_AGAIN, values)
    return None if status is None else SentAgain(status, again and UUID(again))
