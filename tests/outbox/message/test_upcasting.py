"""Events of other schemas: upcast step by step, allowed by the database, or refused by name."""

from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from herald.outbox.message.events import TYPES, Sent
from herald.outbox.message.upcasting import UPCASTERS, Fields, known_schemas
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.log import UnknownEventError, read_stream
from herald.outbox.postgres.statements import fetch
from herald.outbox.startup import UnreadableLogError, check_stored_schemas
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, execute_and_commit, notification
from tests.servers.eventually import eventually
from tests.servers.ports import free_port

STORE = (
    "INSERT INTO outbox (stream_id, version, type, schema, payload, data)"
    " SELECT id, version + 1, %s, %s, %s, %s FROM messages"
)


class SentOfThree(Sent, frozen=True, kw_only=True):
    """The third schema of an event that exists: it says who took it, and counts its calls."""

    SCHEMA: ClassVar[int] = 3
    taker: str
    calls: int


def name_the_taker(fields: Fields) -> Fields:
    return {**fields, "taker": "unknown"}


def count_calls(fields: Fields) -> Fields:
    return {"calls": fields.pop("attempt") * 2, "attempt": 0, **fields}


@pytest.fixture
def third_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TYPES, Sent.TYPE, SentOfThree)
    monkeypatch.setitem(UPCASTERS, (Sent.TYPE, 1), name_the_taker)
    monkeypatch.setitem(UPCASTERS, (Sent.TYPE, 2), count_calls)


def store(
    connection: Connection, event_type: str, schema: int, payload: str = '{"attempt": 4}', data: str | None = None
) -> None:
    accepted(connection, notification())
    execute_and_commit(connection, STORE, event_type, schema, payload, data)


def last_event(connection: Connection) -> Any:
    ((stream,),) = fetch(connection, "SELECT id FROM messages")
    return read_stream(connection, stream)[-1].event


def allow(connection: Connection, event_type: str, schema: int) -> None:
    execute_and_commit(connection, "SELECT outbox_allow_event(%s, %s, '9.9.0')", event_type, schema)


@pytest.mark.usefixtures("third_schema")
def test_an_event_of_the_first_schema_passes_every_step(connection: Connection) -> None:
    store(connection, "message.sent", 1)

    assert last_event(connection) == SentOfThree(attempt=0, taker="unknown", calls=8)


@pytest.mark.usefixtures("third_schema")
def test_an_event_of_the_second_schema_passes_the_last_step_only(connection: Connection) -> None:
    allow(connection, "message.sent", 2)
    store(connection, "message.sent", 2, '{"attempt": 4, "taker": "ada"}')

    assert last_event(connection) == SentOfThree(attempt=0, taker="ada", calls=8)


def test_every_schema_before_the_present_one_has_its_upcaster() -> None:
    before = {(kind.TYPE, schema) for kind in TYPES.values() for schema in range(1, kind.SCHEMA)}

    assert before == UPCASTERS.keys()


@pytest.mark.parametrize(("event_type", "schema"), [("message.sent", 2), ("message.praised", 1)])
def test_an_event_of_another_release_is_named_with_its_place(
    connection: Connection, event_type: str, schema: int
) -> None:
    allow(connection, event_type, schema)
    store(connection, event_type, schema)
    ((stream,),) = fetch(connection, "SELECT id::text FROM messages")

    with pytest.raises(UnknownEventError, match=f"{stream}.2 is a {event_type} of schema {schema}"):
        last_event(connection)


def test_a_large_number_is_read_as_it_is_stored(connection: Connection) -> None:
    exact = "[0.1000000000000000000000000000000000001, 123456789012345678901234567890.50]"
    store(connection, "message.edited", 1, "{}", exact)

    assert bytes(last_event(connection).data).decode() == exact


def test_code_table_and_constraint_know_the_same(connection: Connection) -> None:
    allowed = set(fetch(connection, "SELECT type, schema FROM event_types"))
    ((definition, is_valid),) = fetch(
        connection,
        "SELECT pg_get_constraintdef(oid), convalidated FROM pg_constraint"
        " WHERE conname = 'outbox_event_type_is_known' AND conrelid = 'outbox'::regclass",
    )
    accepted(connection, notification())
    refused = {pair for pair in {*allowed, ("message.sent", 2), ("message.praised", 1)} if not takes(connection, *pair)}

    assert allowed == known_schemas()
    assert definition.count("'message.") == len(allowed)
    assert is_valid
    assert refused == {("message.sent", 2), ("message.praised", 1)}


def takes(connection: Connection, event_type: str, schema: int) -> bool:
    """Whether the database would store it."""
    try:
        fetch(connection, f"{STORE} RETURNING 1", event_type, schema, "{}", None)
    except errors.CheckViolation as error:
        return error.diag.constraint_name != "outbox_event_type_is_known"
    finally:
        connection.rollback()
    return True


def test_what_is_allowed_and_not_stored_is_only_warned_of(connection: Connection) -> None:
    allow(connection, "message.praised", 1)

    with capture_logs() as warned:
        check_stored_schemas(connection)

    assert [(found["event"], found["type"], found["since"]) for found in warned] == [
        ("unknown_event_allowed", "message.praised", "9.9.0")
    ]


def test_what_is_stored_and_unknown_is_refused_with_the_release_that_reads_it(connection: Connection) -> None:
    allow(connection, "message.sent", 2)
    store(connection, "message.sent", 2)

    with pytest.raises(UnreadableLogError, match=r"message.sent of schema 2.*start release 9.9.0 or a later one"):
        check_stored_schemas(connection)


@pytest.mark.parametrize("role", ["api", "relay", "pipeline"])
def test_no_process_starts_on_a_log_that_it_cannot_read(
    connection: Connection, database: str, start_herald: StartHerald, role: str
) -> None:
    allow(connection, "message.praised", 1)
    store(connection, "message.praised", 1)

    process = start_herald(role, DATABASE_URL=database, HERALD_PORT=str(free_port()))

    assert eventually(lambda: process.exit_code, 30) == 1
    process.wait_for("message.praised of schema 1")
