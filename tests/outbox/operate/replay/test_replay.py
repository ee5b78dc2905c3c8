"""`herald replay` on a real broker: the same records again, or a sentence why not."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Message

from herald.outbox.moves.accept import make_acceptance
from herald.outbox.operate.replay import replaying
from herald.outbox.operate.replay.command import command
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.page_statements import LARGEST
from herald.outbox.relay.reader import Limits
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, execute_and_commit, notification
from tests.outbox.relay.test_set_aside import write
from tests.proof.end_to_end.topic import reading as reading_topic
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess

NOWHERE = "127.0.0.1:1"
COUNT = 7
STARTED = 60.0  # seconds
DATE = "SELECT recorded_at FROM outbox WHERE topic = 'notifications' ORDER BY position OFFSET %s LIMIT 1"

Replay = Callable[..., Result]


@pytest.fixture
def settings(database: str, broker: str) -> dict[str, str]:
    return {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": broker, "HERALD_PAGE_SIZE": "3"}


@pytest.fixture
def replay(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Replay:
    """Run the command, far from any `.env`."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **more: CliRunner().invoke(command, [*arguments], env={**settings, **more})


@pytest.fixture
def published(settings: dict[str, str], connection: Connection, start_herald: StartHerald) -> HeraldProcess:
    """So many notifications on their topic, and one message on another; the relay has ended."""
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    accepted(connection, make_acceptance("notifications", "ada", b'{"a": 0.10}', traceparent=trace))
    accepted(connection, make_acceptance("generic_topic", None, b"{}"))
    for number in range(COUNT - 1):
        accepted(connection, notification(f"user {number % 2}", f"number {number}"))
    relay = start_herald("relay", **settings)
    relay.wait_for("leading", STARTED)
    eventually(lambda: len(records(settings)) == COUNT, 30, what="all are published")
    relay.stop()
    return relay


def records(settings: dict[str, str], topic: str = "notifications") -> list[Message]:
    with reading_topic(settings["KAFKA_BOOTSTRAP_SERVERS"], topic) as found:
        return list(found.read())


def contents(found: list[Message]) -> list[tuple[object, ...]]:
    """What a consumer sees, in the order of each partition."""
    ordered = sorted(found, key=lambda one: (one.partition() or 0, one.offset() or 0))
    return [(one.partition(), one.key(), one.value(), one.headers()) for one in ordered]


@pytest.mark.usefixtures("published")
def test_records_are_the_same_again_in_the_same_order(settings: dict[str, str], replay: Replay) -> None:
    before = records(settings)
    offsets = {(one.partition(), one.offset()) for one in before}

    done = replay("--topic", "notifications")

    assert done.exit_code == 0, done.output
    assert f"{COUNT} of {COUNT} records of notifications were published again" in done.stdout
    after = [one for one in records(settings) if (one.partition(), one.offset()) not in offsets]
    assert contents(after) == contents(before)
    assert len(records(settings, "generic_topic")) == 1


def test_a_page_is_bounded_by_bytes_as_well_as_rows(connection: Connection) -> None:
    contents = ["x" * size for size in (1_000, 1_000, 10_000, 1_000)]
    messages = [str(*accepted(connection, notification(content=content))) for content in contents]
    choice, span = replaying.Choice("notifications", None, None), replaying.find_span(connection)

    pages = list(replaying.read_rows(connection, choice, span, limits=Limits(rows=3, bytes=2_500)))

    first, second, large, last = messages
    assert [[row[0] for row in page] for page in pages] == [[first, second], [large], [last]]


def test_what_no_record_can_hold_is_not_read(connection: Connection) -> None:
    write(connection, payload='"' + "x" * LARGEST + '"')
    (message,) = accepted(connection, notification())
    choice, span = replaying.Choice("notifications", None, None), replaying.find_span(connection)

    pages = list(replaying.read_rows(connection, choice, span, limits=Limits(10)))

    assert [[row[0] for row in page] for page in pages] == [[str(message)]]
    assert sum(replaying.count_rows(connection, choice, span)) == 1


@pytest.mark.usefixtures("published")
def test_a_dry_run_counts_what_lies_in_that_time_and_publishes_nothing(
    settings: dict[str, str], connection: Connection, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "RANGE", 2)
    ((since,),), ((until,),) = fetch(connection, DATE, 2), fetch(connection, DATE, 5)
    span = "--since", since.isoformat(), "--until", until.isoformat()

    whole = replay("--topic", "notifications", "--dry-run")
    part = replay("--topic", "notifications", *span, "--dry-run")

    assert f"{COUNT} records of notifications would be published again; nothing was" in whole.stdout
    assert "3 records of notifications would be" in part.stdout
    assert len(records(settings)) == COUNT


@pytest.mark.usefixtures("published")
def test_only_what_lies_in_that_time_is_published(
    settings: dict[str, str], connection: Connection, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "RANGE", 2)
    ((since,),) = fetch(connection, DATE, 2)
    ids = fetch(
        connection,
        "SELECT stream_id || '.' || version FROM outbox WHERE topic = 'notifications' AND recorded_at >= %s",
        since,
    )

    assert replay("--topic", "notifications", "--since", since.isoformat()).exit_code == 0

    found = [dict(one.headers() or [])["ce_id"] for one in records(settings)]
    repeated = {one for one in found if found.count(one) == 2}
    assert repeated == {one.encode() for (one,) in ids}
    assert len(found) == COUNT + len(repeated)


@pytest.mark.usefixtures("published")
def test_sigterm_ends_it_after_what_is_in_flight(settings: dict[str, str], start_herald: StartHerald) -> None:
    process = start_herald("replay", "--topic", "notifications", "--rate", "1", **settings)
    eventually(lambda: len(records(settings)) > COUNT, STARTED, what="the first is published again")

    assert process.stop(signal.SIGTERM) == 1

    done = len(records(settings)) - COUNT
    assert 0 < done < COUNT
    process.wait_for(f"stopped: {done} of {COUNT} records of notifications were published again")


@pytest.mark.usefixtures("published")
def test_what_kafka_refuses_is_named_and_the_others_are_published(
    settings: dict[str, str], connection: Connection, replay: Replay
) -> None:
    (large,) = accepted(connection, make_acceptance("notifications", "ada", b'"' + b"x" * 1_200_000 + b'"'))
    accepted(connection, notification())

    done = replay("--topic", "notifications")

    assert done.exit_code == 1
    assert f"{COUNT + 1} of {COUNT + 2} records" in done.output
    assert f"Kafka refused 1, the first {large}.1: " in done.output
    assert len(records(settings)) == 2 * COUNT + 1


@pytest.mark.usefixtures("published")
def test_another_kafka_than_the_relays_is_refused(connection: Connection, replay: Replay) -> None:
    execute_and_commit(connection, "UPDATE relay_cursor SET cluster_id = 'elsewhere'")

    refused = replay("--topic", "notifications")

    assert refused.exit_code == 1
    assert "the relay's is elsewhere" in refused.output


@pytest.mark.usefixtures("published")
def test_a_topic_that_kafka_does_not_have_is_named(replay: Replay) -> None:
    refused = replay("--topic", "unheard_of")

    assert (refused.exit_code, "Kafka has no topic unheard_of" in refused.output) == (1, True)


def test_servers_that_are_away_are_named(replay: Replay) -> None:
    without_kafka = replay("--topic", "notifications", KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    without_database = replay("--topic", "notifications", DATABASE_URL=f"postgresql://postgres@{NOWHERE}/nowhere")

    assert (without_kafka.exit_code, without_database.exit_code) == (1, 1)
    assert f"Kafka at {NOWHERE} does not answer" in without_kafka.output
    assert "the database does not answer" in without_database.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--topic"),
        (["--topic", "notifications", "--since", "noon"], "noon is no date such as"),
        (["--topic", "notifications", "--since", "2026-01-02", "--until", "2026-01-01"], "--until must come after"),
        (["--topic", "notifications", "--rate", "0"], "--rate"),
    ],
)
def test_wrong_options_are_named(replay: Replay, arguments: list[str], told: str) -> None:
    wrong = replay(*arguments)

    assert wrong.exit_code == 2
    assert told in " ".join(wrong.output.split())
