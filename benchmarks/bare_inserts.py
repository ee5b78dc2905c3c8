"""The API's rival: threads that insert the same two rows, one transaction and one round trip each."""

import json
from threading import Barrier, Thread
from time import monotonic

import click
from uuid_utils.compat import uuid7

from benchmarks.letters import letters
from benchmarks.machine import watched
from herald.outbox.settings import load_settings
from tests.servers.postgres import connect_to_tables

WARM_UP = 1.0  # seconds that do not count
INSERT = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
logged AS (
    INSERT INTO outbox (stream_id, version, type, topic, key, data, payload, recorded_at)
    SELECT %(id)s, 1, 'message.requested', 'notifications', %(key)s, %(data)s,
           '{"request": 1, "cause": "accepted"}', at FROM clock
)
INSERT INTO messages (id, topic, key, data_version, event, status, version, request, attempts, requested_in,
                      accepted_at, updated_at)
SELECT %(id)s, 'notifications', %(key)s, 1, 'benchmark', 'pending', 1, 1, 0, pg_current_xact_id(), at, at FROM clock
"""


@click.command()
@click.option("--threads", type=int, required=True)
@click.option("--seconds", type=float, required=True)
def main(threads: int, seconds: float) -> None:
    """Insert for SECONDS after a warm-up; print transactions per second."""
    url = load_settings().database_url
    ready = Barrier(threads)
    counts = [0] * threads

    def insert(number: int) -> None:
        counts[number] = _insert(url, ready, seconds, seed=number)

    workers = [Thread(target=insert, args=(number,)) for number in range(threads)]
    with watched() as span:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    click.echo(json.dumps({"rate": sum(counts) / seconds, "idle": span.idle}))


def _insert(url: str, ready: Barrier, seconds: float, seed: int) -> int:
    bodies = [(user, data.decode()) for user, data in letters(200, seed)]
    connection = connect_to_tables(url)
    connection.autocommit = True
    cursor = connection.cursor()
    ready.wait()
    counted_from = monotonic() + WARM_UP
    end = counted_from + seconds
    count = 0
    while (now := monotonic()) < end:
        user, data = bodies[count % len(bodies)]
        cursor.execute(INSERT, {"id": str(uuid7()), "key": user, "data": data})
        count += now >= counted_from
    connection.close()
    return count


if __name__ == "__main__":
    main()
