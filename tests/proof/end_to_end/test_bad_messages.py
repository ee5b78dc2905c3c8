"""Among good messages: one too large for Kafka, one that PostgreSQL refuses."""

from concurrent.futures import ThreadPoolExecutor

import httpx2
from confluent_kafka import Message

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute
from tests.proof.end_to_end.system import STARTED, Herald, await_all_sent, unsent
from tests.proof.end_to_end.topic import headers, put, reading
from tests.servers.eventually import eventually

# What is known to be refused is refused before PostgreSQL sees it: this stands for what is not.
POISON = '{"poison": 1}'
NO_POISON = "ALTER TABLE outbox ADD CONSTRAINT no_poison CHECK (data IS NULL OR NOT data::jsonb ? 'poison')"
TOO_LARGE = {"text": "x" * 1_200_000}  # characters; a record holds 1,000,000 bytes
GOOD = 198
CALLERS = 16


def test_one_too_large_and_one_that_postgresql_refuses_stop_none_of_the_others(
    herald: Herald, connection: Connection
) -> None:
    refuse_poison(connection)
    herald.start_and_deliver()

    with ThreadPoolExecutor(CALLERS) as callers:
        posts = [callers.submit(herald.post_notification, f"user-{number % 20}") for number in range(GOOD // 2)]
        large = callers.submit(herald.post_message, TOO_LARGE)
        refused = callers.submit(post_raw, herald, f'{{"topic": "generic_topic", "data": {POISON}}}')
        posts += [callers.submit(herald.post_message, {"n": number}) for number in range(GOOD // 2)]
    good = [post.result() for post in posts]

    assert refused.result().status_code == 422
    assert "no_poison" in refused.result().json()["detail"]
    eventually(lambda: unsent(connection, good) == [], STARTED)
    found = eventually(lambda: dead(herald, large.result()))
    assert "too large" in str(found["reason"])
    assert herald.assert_projection_equals_log() == GOOD + 2


def test_a_foreign_record_that_postgresql_refuses_goes_to_the_dead_letters_alone(
    herald: Herald, connection: Connection
) -> None:
    broker = herald.settings["KAFKA_BOOTSTRAP_SERVERS"]
    refuse_poison(connection)
    herald.start_and_deliver()
    assert herald.stop("pipeline") == 0  # so that all of these are claimed in one transaction
    before = [herald.post_message({"n": number}) for number in range(50)]
    put(broker, "generic_topic", POISON.encode())
    put(broker, "generic_topic", b'{"adopted": true}')
    after = [herald.post_message({"n": number}) for number in range(50)]

    herald.start("pipeline")

    letter = dead_letter(broker)
    assert letter.value() == POISON.encode()
    assert headers(letter)["herald_topic"] == "generic_topic"
    assert "no_poison" in headers(letter)["herald_reason"]
    await_all_sent(herald, connection, [*before, *after])
    assert herald.assert_projection_equals_log() == 102, "the first, 100 of ours, and the one that was adopted"


def refuse_poison(connection: Connection) -> None:
    execute(connection, NO_POISON)
    connection.commit()


def post_raw(herald: Herald, body: str) -> httpx2.Response:
    return herald.client.post("/messages", content=body, headers={"content-type": "application/json"})


def dead(herald: Herald, message: str) -> dict[str, object]:
    found = herald.look(message)
    assert found["status"] == "dead", found
    return found


def dead_letter(broker: str) -> Message:
    with reading(broker, "dead_letters") as reader:
        return eventually(reader.read, STARTED)[0]
