"""`herald pipeline`, run as an operator runs it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from herald.outbox.postgres.statements import execute
from herald.pipeline.consume.record import UNREADABLE
from tests.conftest import StartHerald
from tests.pipeline.records import accept, arrival, new_id, opened, own, own_headers, rows, statuses
from tests.pipeline.topics import committed, first_record, make_topics, publish
from tests.proof.end_to_end.topic import ANSWER, delete_topics
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.eventually import eventually
from tests.servers.foreign_header import publish_with_header
from tests.servers.herald import HeraldProcess
from tests.servers.postgres import PostgresServer
from tests.servers.tansu import Tansu
from tests.servers.troubled_broker import TroubledBroker

StartPipeline = Callable[[str], HeraldProcess]
STARTED = "pipeline_started"
JOINED = 30.0  # seconds
SESSION = {"HERALD_SESSION_TIMEOUT": "2"}  # the embedded broker lets the first member in after half of it


@pytest.fixture
def start_pipeline(database: str, start_herald: StartHerald) -> StartPipeline:
    return lambda broker: start_herald("pipeline", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=broker, **SESSION)


def test_what_is_on_the_topics_is_delivered_and_committed_before_the_end(
    database: str, each_broker: str, start_pipeline: StartPipeline
) -> None:
    message = new_id()
    accept(database, message)
    make_topics(each_broker)
    publish(each_broker, own(message), arrival(b'{"n": 1}', topic="generic_topic"), arrival(b"junk"))
    process = start_pipeline(each_broker)

    eventually(lambda: sorted(statuses(database).values()) == ["sent", "sent"], JOINED)
    assert first_record(each_broker, "dead_letters").value() == b"junk"

    assert process.stop() == 0
    assert committed(each_broker) == 3
    assert "notification_delivered" in process.output()
    assert "generic_event_received" in process.output()


@pytest.mark.parametrize(
    "name", ["ce_subject", *(pytest.param(one, marks=pytest.mark.proof) for one in ("ce_id", "ce_request"))]
)
def test_a_record_with_a_null_header_is_a_dead_letter_and_the_next_is_handled(
    name: str, database: str, broker: str, start_pipeline: StartPipeline
) -> None:
    message = new_id()
    accept(database, message)
    make_topics(broker)
    spoiled = [(one, None if one == name else value) for one, value in own_headers(new_id())]
    publish(broker, arrival(headers=spoiled), own(message))

    process = start_pipeline(broker)

    eventually(lambda: statuses(database) == {message: "sent"}, JOINED)
    assert b"has no value" in (dict(first_record(broker, "dead_letters").headers() or [])["herald_reason"] or b"")
    assert process.running


def test_a_record_whose_headers_cannot_be_read_is_a_dead_letter_and_the_next_is_handled(
    database: str, each_broker: str, start_pipeline: StartPipeline
) -> None:
    make_topics(each_broker)
    publish_with_header(each_broker, "generic_topic", b'{"n": 1}', b"na\xffme", b"content")
    process = start_pipeline(each_broker)
    process.wait_for("dead_lettered", JOINED)
    publish(each_broker, arrival(b'{"n": 2}', topic="generic_topic"))

    eventually(lambda: list(statuses(database).values()) == ["sent"], JOINED)

    letter = first_record(each_broker, "dead_letters")
    assert letter.value() == b'{"n": 1}'
    assert UNREADABLE.encode() in (dict(letter.headers() or [])["herald_reason"] or b"")
    assert process.stop() == 0
    assert committed(each_broker) == 2


def test_a_lone_message_on_an_idle_system_does_not_wait_for_the_window(
    database: str, broker: str, start_pipeline: StartPipeline
) -> None:
    make_topics(broker)
    publish(broker, arrival(b'{"warm": "up"}', topic="generic_topic"))
    start_pipeline(broker)
    eventually(lambda: "sent" in statuses(database).values(), JOINED)
    message = new_id()
    accept(database, message)

    published_at = time.monotonic()
    publish(broker, own(message))

    eventually(lambda: statuses(database)[message] == "sent")
    assert time.monotonic() - published_at < 2.0, "the window ends after 5 s"


def test_a_killed_pipelines_records_are_claimed_once(
    database: str, each_broker: str, start_pipeline: StartPipeline
) -> None:
    messages = [new_id() for _ in range(100)]
    accept(database, *messages)
    make_topics(each_broker)
    publish(each_broker, *map(own, messages))
    killed = start_pipeline(each_broker)
    eventually(lambda: "sent" in statuses(database).values(), JOINED)
    killed.kill()

    start_pipeline(each_broker)

    eventually(lambda: committed(each_broker) == 100, 2 * JOINED)
    started = rows(database, "SELECT count(*) FROM outbox WHERE type = 'message.started'")
    assert started == [(100,)]


def test_an_outage_of_the_database_costs_no_message(
    migrated_server: PostgresServer, broker: str, start_herald: StartHerald
) -> None:
    messages = [new_id() for _ in range(30)]
    accept(migrated_server.url(), *messages)
    make_topics(broker)
    process = start_herald("pipeline", DATABASE_URL=migrated_server.url(), KAFKA_BOOTSTRAP_SERVERS=broker)
    process.wait_for(STARTED, JOINED)

    migrated_server.stop()
    publish(broker, *map(own, messages))
    process.wait_for("database_away", JOINED)
    migrated_server.start()

    eventually(lambda: statuses(migrated_server.url()) == dict.fromkeys(messages, "sent"), JOINED)
    assert "dead_lettered" not in process.output()
    assert process.stop() == 0


def test_it_waits_for_its_topics_and_says_so(broker: str, start_pipeline: StartPipeline) -> None:
    process = start_pipeline(broker)

    process.wait_for("the relay makes them", JOINED)
    make_topics(broker)
    process.wait_for(STARTED, JOINED)


def test_it_can_be_stopped_while_it_waits_for_kafka(tmp_path: Path, start_pipeline: StartPipeline) -> None:
    process = start_pipeline(Tansu(tmp_path).bootstrap_servers)  # never started

    process.wait_for("waiting", JOINED)

    assert process.stop() == 0


def test_it_leaves_no_files_where_it_was_started(broker: str, start_pipeline: StartPipeline, tmp_path: Path) -> None:
    make_topics(broker)
    process = start_pipeline(broker)
    process.wait_for(STARTED, JOINED)

    process.stop()

    assert [one.name for one in tmp_path.iterdir() if one.suffix != ".log"] == []


def test_it_can_be_stopped_while_quix_starts(broker: str, start_pipeline: StartPipeline) -> None:
    make_topics(broker)
    process = start_pipeline(broker)

    process.wait_for(STARTED, JOINED)

    assert process.stop() == 0


def test_it_ends_with_an_error_when_its_worker_does(database: str, broker: str, start_pipeline: StartPipeline) -> None:
    make_topics(broker)
    publish(broker, own(new_id()))
    with opened(database) as connection:  # what no repetition mends
        execute(connection, "DELETE FROM closing")

    process = start_pipeline(broker)

    process.wait_for("worker_ended", JOINED)
    eventually(lambda: not process.running)
    assert process.exit_code == 1
    assert committed(broker) == 0


@pytest.mark.kafka
@pytest.mark.proof
def test_it_does_not_wait_for_ever_at_a_broker_that_was_wiped_behind_its_back(
    database: str, own_kafka: ApacheKafka, start_pipeline: StartPipeline
) -> None:
    """It is frozen meanwhile, and never sees its topics missing; the leaders' epochs begin anew."""
    broker = own_kafka.bootstrap_servers
    make_topics(broker)
    own_kafka.stop()
    own_kafka.start()  # each partition's leader has a later epoch now
    publish(broker, arrival(b'{"n": 1}', topic="generic_topic"))
    process = start_pipeline(broker)
    eventually(lambda: committed(broker) == 1, JOINED)

    process.pause()
    own_kafka.stop()
    own_kafka.lose_disk()
    own_kafka.start()
    make_topics(broker)
    publish(broker, arrival(b'{"n": 2}', topic="generic_topic"))
    process.resume()

    eventually(lambda: list(statuses(database).values()) == ["sent", "sent"], 2 * JOINED)
    assert process.running


@pytest.mark.kafka
def test_it_reads_on_when_a_topic_was_made_anew(database: str, kafka: str, start_pipeline: StartPipeline) -> None:
    make_topics(kafka)
    publish(kafka, arrival(b'{"n": 1}', topic="generic_topic"))
    process = start_pipeline(kafka)
    eventually(lambda: committed(kafka) == 1, JOINED)

    delete_topics(kafka, "notifications")
    admin, anew = AdminClient({"bootstrap.servers": kafka}), NewTopic("notifications", 2, 1)
    eventually(lambda: admin.create_topics([anew])["notifications"].exception(ANSWER) is None)

    process.wait_for("made anew: notifications", JOINED)
    publish(kafka, arrival())

    eventually(lambda: list(statuses(database).values()) == ["sent", "sent"], 2 * JOINED)
    assert process.running


def test_a_wrong_setting_stops_it_and_is_named(start_herald: StartHerald) -> None:
    process = start_herald("pipeline", DATABASE_URL="mysql://x")

    eventually(lambda: not process.running)
    assert process.exit_code == 2
    assert "DATABASE_URL" in process.output()


def test_a_pipeline_that_kafka_leaves_without_an_answer_goes_on_with_new_clients(
    database: str, start_herald: StartHerald, tmp_path: Path
) -> None:
    with TroubledBroker(tmp_path) as broker:
        make_topics(broker.bootstrap_servers)
        patient = {"HERALD_KAFKA_PATIENCE": "2"}
        process = start_herald(
            "pipeline", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers, **patient
        )
        process.wait_for(STARTED, JOINED)

        broker.phase = "hanging"
        process.wait_for("pipeline_begins_anew", JOINED)
        broker.phase = "well"
        broker.close_all()
        publish(broker.bootstrap_servers, arrival(b'{"n": 1}', topic="generic_topic"))

        eventually(lambda: list(statuses(database).values()) == ["sent"], JOINED)
        assert process.stop() == 0
