"""A row of the log that cannot be read or published ends alone; everything else goes on."""

from collections.abc import Iterator, Sequence
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from herald.outbox.moves.request_again import Choice, pending_that, request_again
from herald.outbox.postgres.conviction import CONVICTION_SPAN, MOST_CONVICTIONS, Convictions
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay.page_statements import LARGEST
from herald.outbox.relay.reader import Limits, Row, read_page
from herald.outbox.relay.refusals import record_refusals
from herald.outbox.relay.session import open_session
from herald.outbox.relay.unreadable import read_around
from herald.outbox.scheduler.lost import FIRST, read_candidates
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, connected, execute_and_commit, make_settings, notification, status_of
from tests.outbox.relay.test_relay import Topic
from tests.servers.eventually import eventually

WRITE = """
INSERT INTO outbox (stream_id, version, type, topic, key, data, payload, recorded_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
ASIDE = "SELECT stream_id::text, reason, error FROM set_aside ORDER BY position"
# Rows recorded in 2000 are refused by PostgreSQL as data, those of 2001 as if its disk were broken.
BREAK = """
CREATE SCHEMA broken;
CREATE FUNCTION broken.to_char(at timestamp, form text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF at < '2001-01-01' THEN
        RAISE EXCEPTION 'too long to be read back' USING ERRCODE = '54000';
    ELSIF at < '2002-01-01' THEN
        RAISE EXCEPTION 'compressed data is corrupted' USING ERRCODE = 'XX001';
    END IF;
    RETURN pg_catalog.to_char(at, form);
END $$;
"""
REFUSED, CORRUPT = "2000-01-01", "2001-01-01"


@pytest.fixture
def writer(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        yield connection


@pytest.fixture
def session(database: str) -> Iterator[Connection]:
    session = open_session(make_settings(database))
    execute_and_commit(session, BREAK)
    execute_and_commit(session, "SET search_path = broken, herald, pg_catalog")
    yield session
    session.close()


def write(connection: Connection, **columns: object) -> str:
    """A row that somebody who may writes straight into the log; what is not given is as it should be."""
    values = {
        "id": str(uuid7()), "version": 1, "type": "message.requested", "topic": "notifications", "key": None,
        "data": "{}", "payload": '{"request": 1}', "recorded_at": "2026-01-01", **columns,
    }  # fmt: skip
    execute_and_commit(connection, WRITE, *values.values())
    connection.commit()
    return str(values["id"])


def read_all(
    session: Connection, limits: Limits, *, waits: list[float] | None = None, convictions: Convictions | None = None
) -> list[list[str]]:
    """The streams of each page, read around what cannot be read, until nothing is new."""
    cursor, pages, pause = cursors.load(session), [], (waits or []).append
    allowed = convictions or Convictions()
    while (page := read_around(session, cursor, limits, pause, allowed)).rows or page.cursor.target is not None:
        pages.append([row[0] for row in page.rows])
        cursor = page.cursor
    return [page for page in pages if page]


def names(ids: Sequence[UUID]) -> list[str]:
    return [str(one) for one in ids]


def test_the_size_that_is_stored_is_the_size_as_read_back(writer: Connection) -> None:
    stream = write(writer, data='{"n":  1e1000}', key="clé", payload='{"n": [1e1000, "\\u0041"]}')

    ((size, read),) = fetch(
        writer,
        "SELECT size, octet_length(payload::text) + octet_length(key) + octet_length(data::text)"
        " FROM outbox WHERE stream_id = %s",
        stream,
    )

    assert size == read == 1001 + len('{"n": [, "A"]}') + 4 + len('{"n":  1e1000}')


def test_what_cannot_be_read_back_is_refused_where_it_is_written(writer: Connection) -> None:
    with pytest.raises(PostgresError) as refused:
        write(writer, payload=f"[{','.join(['1e131071'] * 9_000)}]")  # 81 kB, read back as 1.2 GB

    assert refused.value.pgcode in {"54000", "XX000"}


def test_a_page_is_bounded_by_bytes_as_well_as_rows(session: Connection, writer: Connection) -> None:
    small = accepted(writer, *(notification(content="x" * 1_000) for _ in range(5)))
    (large,) = accepted(writer, notification(content="x" * 10_000))
    last = accepted(writer, notification())
    limits = Limits(rows=3, bytes=2_500)
    cursor, found = cursors.load(session), []

    while (page := read_page(session, cursor, limits)).rows or page.cursor.target is not None:
        found.append([row[0] for row in page.rows])
        cursor = page.cursor

    first, second, third, fourth = names(small[:2]), names(small[2:4]), names(small[4:]), names([large])
    assert found == [first, second, third, fourth, names(last)]
    assert accepted(writer, notification()) == [UUID(row[0]) for row in read_page(session, cursor, limits).rows]


def test_what_no_record_can_hold_is_refused_without_being_read(session: Connection, writer: Connection) -> None:
    stream = write(writer, data='"' + "x" * LARGEST + '"')
    after = accepted(writer, notification())

    page = read_page(session, cursors.load(session), Limits(1))
    ((row, reason),) = page.refused

    assert [row[0], row[5], row[7]] == [stream, None, "1"]
    assert "too large for a record" in reason
    assert [one[0] for one in read_page(session, page.cursor, Limits(1)).rows] == names(after)


def test_a_row_that_cannot_be_read_is_set_aside_and_the_others_are_read(
    session: Connection, writer: Connection
) -> None:
    before = accepted(writer, *(notification() for _ in range(5)))
    unreadable = write(writer, recorded_at=REFUSED)
    after = accepted(writer, *(notification() for _ in range(6)))

    with pytest.raises(PostgresError):
        read_page(session, cursors.load(session), Limits(100))
    assert read_all(session, Limits(100)) == [names(before + after)]

    ((stream, reason, error),) = fetch(writer, ASIDE)
    assert (stream, reason) == (unreadable, "unreadable")
    assert error == "PostgreSQL refuses it: too long to be read back"


def test_many_rows_that_cannot_be_read_stop_nothing(session: Connection, writer: Connection) -> None:
    unreadable = [write(writer, recorded_at=REFUSED) for _ in range(3)]
    after = accepted(writer, notification())

    assert read_all(session, Limits(2)) == [names(after)]
    assert [stream for stream, _, _ in fetch(writer, ASIDE)] == unreadable


def test_a_row_that_fails_three_times_alone_is_set_aside_whatever_the_error(
    session: Connection, writer: Connection
) -> None:
    before = accepted(writer, notification())
    corrupt = [write(writer, recorded_at=CORRUPT) for _ in range(2)]
    waits: list[float] = [0.0]

    assert read_all(session, Limits(100), waits=waits) == [names(before)]

    assert waits == [0.0, 1.0, 1.0]
    assert [stream for stream, _, _ in fetch(writer, ASIDE)] == corrupt


def test_of_rows_that_the_server_cannot_read_twenty_a_minute_are_set_aside(
    session: Connection, writer: Connection
) -> None:
    now = [0.0]
    convictions = Convictions(lambda: now[0])
    before = accepted(writer, notification())
    corrupt = [write(writer, recorded_at=CORRUPT) for _ in range(MOST_CONVICTIONS + 1)]

    for _ in range(2):
        with pytest.raises(PostgresError, match="corrupted"):
            read_all(session, Limits(100), convictions=convictions)
    assert [stream for stream, _, _ in fetch(writer, ASIDE)] == corrupt[:MOST_CONVICTIONS]
    now[0] += CONVICTION_SPAN + 1

    assert read_all(session, Limits(100), convictions=convictions) == [names(before)]
    assert [stream for stream, _, _ in fetch(writer, ASIDE)] == corrupt


def test_where_no_row_can_be_read_none_is_set_aside(session: Connection, writer: Connection) -> None:
    for _ in range(3):
        write(writer, recorded_at=CORRUPT)

    with pytest.raises(PostgresError, match="corrupted"):
        read_all(session, Limits(100))

    assert fetch(writer, ASIDE) == []


def test_rows_that_no_producer_takes_are_set_aside_and_the_others_published(
    database: str, broker: str, writer: Connection, start_herald: StartHerald
) -> None:
    before = accepted(writer, notification())
    wrong = [
        write(writer, topic=""),
        write(writer, topic="no topic/of Kafka"),
        write(writer, topic="x" * 250),
        write(writer, payload='{"request": "many"}'),
        write(writer, payload='{"request": null}'),
        write(writer, payload="[1]"),
        write(writer, payload='"scalar"'),
        write(writer, recorded_at="infinity"),
        write(writer, type="message.dead_lettered", topic="dead_letters", payload='"' + "x" * 1_200_000 + '"'),
    ]
    after = accepted(writer, notification())

    start_herald("relay", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=broker)

    topic = Topic(broker)
    eventually(lambda: sorted(topic.subjects()) == sorted(names(before + after)), 20)
    eventually(lambda: [stream for stream, _, _ in fetch(writer, ASIDE)] == wrong, 10)


def test_a_refusal_of_no_message_is_set_aside(session: Connection, writer: Connection) -> None:
    (known,) = accepted(writer, notification())
    stranger = write(writer)
    page = read_page(session, cursors.load(session), Limits(10))

    record_refusals(session, [(row, "too large") for row in page.rows], lambda _: None)

    assert status_of(writer, known) == "dead"
    assert fetch(writer, ASIDE) == [(stranger, "refused", "too large")]


def test_a_forged_row_that_is_refused_ends_no_message(session: Connection, writer: Connection) -> None:
    (known,) = accepted(writer, notification())
    for version, kind in ((98, "message.requested"), (99, "message.sent")):
        write(writer, id=str(known), version=version, type=kind, payload='"' + "x" * LARGEST + '"')
    cursor = cursors.load(session)
    refused: list[tuple[Row, str]] = []
    while (page := read_page(session, cursor, Limits(1))).rows or page.refused or page.cursor.target is not None:
        refused += page.refused
        cursor = page.cursor

    record_refusals(session, refused, lambda _: None)

    assert status_of(writer, known) == "pending"
    assert [(stream, reason) for stream, reason, _ in fetch(writer, ASIDE)] == [(str(known), "refused")] * 2


def test_a_message_whose_request_is_set_aside_is_not_requested_again(writer: Connection) -> None:
    aside, other = accepted(writer, notification(), notification())
    execute_and_commit(
        writer,
        "INSERT INTO set_aside (stream_id, version, position, reason, error) VALUES (%s, 1, 1, 'unreadable', '')",
        str(aside),
    )
    ((snapshot,),) = fetch(writer, "SELECT pg_current_snapshot()::text")

    assert [found.id for found in read_candidates(writer, snapshot, after=FIRST)] == [str(other)]
    choice = Choice(pending_that("true"), {}, "'lost'")
    assert [message for message, _ in request_again(writer, choice, limit=10)] == [str(other)]
