"""The next page of the log, without what cannot be read."""

from collections.abc import Callable

import structlog

from herald.outbox.postgres.conviction import is_away, text_of
from herald.outbox.postgres.driver import Connection
from herald.outbox.relay.cursor import Cursor
from herald.outbox.relay.judging import Judge
from herald.outbox.relay.reader import Limits, Page, read_page
from herald.outbox.relay.unreadable import read_around

_log = structlog.get_logger()


def read_next(
    connection: Connection, place: Cursor, limits: Limits, pause: Callable[[float], object], judge: Judge
) -> Page:
    """Read it; rows that cannot be read are set aside. Raises what is no row's fault."""
    try:
        return read_page(connection, place, limits)
    except Exception as error:
        if is_away(error):
            raise
        _log.warning("page_unreadable", reason=text_of(error), next="by halves, to find the rows", exc_info=error)
        return read_around(connection, place, limits, pause, judge.unreadable)
