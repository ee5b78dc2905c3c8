"""Works off the jobs that requeue many dead letters."""

from herald.outbox.desk.jobs import step
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute


def requeue_step(connection: Connection) -> int:
    """One step of one job, in a transaction of its own; returns how many messages were requested."""
    execute(connection, "BEGIN")
    try:
        count = step(connection)
    except BaseException:
        execute(connection, "ROLLBACK")
        raise
    execute(connection, "COMMIT")
    return count
