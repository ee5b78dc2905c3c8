"""Loaded logs are what Herald would have written."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from benchmarks.histories.loading import MONTHS, load
from benchmarks.histories.stories import OPEN
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch, fetch_column, fetch_value
from tests.conftest import StartHerald
from tests.outbox.connections import assert_projection_equals_log
from tests.servers.eventually import eventually
from tests.servers.postgres import connect_to_tables

COUNT = 1_000
PATIENT = 60.0  # seconds


@pytest.fixture
def loaded(database: str) -> str:
    """The URL of a database with histories."""
    load(database, COUNT)
    return database


@pytest.fixture
def connection(loaded: str) -> Iterator[Connection]:
    with closing(connect_to_tables(loaded)) as opened:
        yield opened


def test_a_loaded_log_is_what_herald_would_have_written(
    loaded: str, connection: Connection, broker: str, start_herald: StartHerald
) -> None:
    assert assert_projection_equals_log(connection) == COUNT
    servers = {"DATABASE_URL": loaded, "KAFKA_BOOTSTRAP_SERVERS": broker}
    relay = start_herald("relay", **servers)
    relay.wait_for("leading", PATIENT)
    relay.stop()

    rebuild, audit = (start_herald(*words, "--json", **servers) for words in (("rebuild", "--check"), ("audit",)))
    eventually(lambda: not rebuild.running and not audit.running, PATIENT)

    assert rebuild.exit_code == 0, rebuild.tail()
    (told,) = [line for line in rebuild.output().splitlines() if line.startswith('{"partitions"')]
    partitions = json.loads(told)["partitions"]
    assert sum(one["messages"] for one in partitions) == COUNT
    assert all(not one["differences"] for one in partitions)
    assert audit.exit_code == 0, audit.output()


def test_most_was_sent_and_the_rest_stands_in_its_queues(connection: Connection) -> None:
    statuses = Counter(fetch_column(connection, "SELECT status FROM messages"))

    assert statuses == {**OPEN, "sent": COUNT - sum(OPEN.values())}
    assert fetch_value(connection, "SELECT count(DISTINCT tableoid) FROM messages") in {MONTHS, MONTHS + 1}
    assert fetch_value(connection, "SELECT count(DISTINCT error) FROM unsent WHERE status = 'dead'") > 4
    assert fetch(connection, "SELECT FROM waiting WHERE due_at < now() + interval '100 days'") == []


def test_a_log_of_too_few_messages_is_refused(database: str) -> None:
    with pytest.raises(ValueError, match="300 messages at least"):
        load(database, 299)
