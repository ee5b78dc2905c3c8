"""What a process that starts waits for."""

import threading
from contextlib import closing
from unittest.mock import Mock

import pytest

from herald.outbox import startup
from herald.outbox.postgres.driver import errors
from herald.outbox.postgres.instance import adopt_settings, read_instance
from herald.outbox.startup import NotMigratedError, wait_until
from tests.outbox.connections import make_settings
from tests.servers.postgres import connect_to_tables


def test_a_source_that_is_stored_is_read_where_nothing_can_be_written(database: str) -> None:
    with closing(connect_to_tables(database)) as connection:
        settings = make_settings(database)
        adopt_settings(connection, settings)
        connection.set_session(readonly=True)

        adopt_settings(connection, settings)

        assert read_instance(connection).source == settings.source


def test_a_start_waits_for_every_outage_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "FIRST_WAIT", 0.0)
    probe = Mock(side_effect=[errors.ReadOnlySqlTransaction(), None])

    wait_until(probe, what="the database", on=NotMigratedError, stop=threading.Event())

    assert probe.call_count == 2
