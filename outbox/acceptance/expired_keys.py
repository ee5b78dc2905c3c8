"""Idempotency keys whose time has passed: a table of which every row has expired is emptied."""

import structlog

from herald.outbox.acceptance.idempotency import TABLES
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.holders import holder
from herald.outbox.postgres.statements import fetch_value

EMPTY_KEYS = 15.0  # seconds between two looks; a table stays expired for as long as keys are kept, 60 s at least
_log = structlog.get_logger()


def empty_expired_keys(connection: Connection) -> None:
    """Empty what has expired; a table that is locked for 50 ms is left to the next turn.

    The connection is in autocommit.
    """
    for table in TABLES:
        if _emptied(connection, table):
            _log.info("idempotency_keys_emptied", table=table)


def _emptied(connection: Connection, table: str) -> bool:
    try:
        return bool(fetch_value(connection, "SELECT idempotency_keys_empty(%s)", table))
    except errors.LockNotAvailable:
        _log.info("idempotency_keys_locked", by=holder(connection), table=table, consequence="it is emptied later")
        return False
