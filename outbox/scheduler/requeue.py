"""Works off the jobs that requeue many dead letters."""

from herald.outbox.desk.jobs import step
from herald.outbox.postgres.driver import Connection


def requeue_step(connection: Connection) -> int:
    """One step of one job, in a transaction of its own; returns how many messages were requested."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            count = step(connection)
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")
    return count
