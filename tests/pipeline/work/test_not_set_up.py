"""What a pipeline lacks the settings for waits for one that has them."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner

from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.operate.status.command import command as status
from herald.pipeline.channel import Channel
from herald.pipeline.channels.email.channel import UnsetEmailChannel
from herald.pipeline.work.worker import Worker
from tests.outbox.operate.doctor.findings import look
from tests.pipeline import parts
from tests.pipeline.fakes import FakeChannel, FakeDeadLetters
from tests.pipeline.parts import make_router, settings
from tests.pipeline.records import NOTIFICATION, accept, arrival, new_id, opened, own, request_again, rows, statuses
from tests.servers.eventually import eventually

MAIL = {**NOTIFICATION, "channel": "log", "address": "ada@example.com"}
UNSET = "not tried: HERALD_SMTP_HOST and HERALD_EMAIL_FROM are not set"
UNKNOWN = "not tried: no channel is named 'log'; there are: "


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    made: list[Worker] = []
    yield made
    for worker in made:
        worker.close(10)


@pytest.mark.parametrize(("without", "reason"), [(UnsetEmailChannel(), UNSET), (None, UNKNOWN)])
def test_what_one_pipeline_is_not_set_up_for_is_no_attempt_and_another_delivers_it(
    database: str, workers: list[Worker], without: Channel | None, reason: str
) -> None:
    message = new_id()
    accept(database, message)
    found, channel = settings(database, max_attempts=1), FakeChannel()
    for router in (make_router(without, found=found), make_router(channel, found=found)):
        workers.append(parts.make_worker(found, router, FakeDeadLetters().send))
        workers[-1].start()
    lacking, able = workers

    lacking.inbox.add(own(message))
    eventually(lambda: statuses(database) == {message: "scheduled"})
    assert rows(database, "SELECT reason, attempts, uncounted FROM messages") == [(reason, 1, 1)]
    request_again(database, message)
    able.inbox.add(own(message, request=2))

    eventually(lambda: statuses(database) == {message: "sent"})
    assert [delivery.id for _, delivery in channel.delivered] == [message]


def test_a_channel_that_only_another_producer_names_is_waited_for_by_nobody(
    database: str, workers: list[Worker]
) -> None:
    found = settings(database)
    workers.append(parts.make_worker(found, make_router(FakeChannel(), found=found), FakeDeadLetters().send))
    workers[0].start()

    workers[0].inbox.add(arrival(json.dumps({**NOTIFICATION, "channel": "pigeon"}).encode()))

    eventually(lambda: list(statuses(database).values()) == ["dead"])
    assert rows(database, "SELECT reason FROM messages") == [("no channel is named 'pigeon'; there are: log",)]


def test_what_is_given_back_again_and_again_is_named_by_status_and_doctor(
    database: str, broker: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    twice, once = new_id(), new_id()
    accept(database, twice, once)
    give_back(database, once)
    give_back(database, twice)
    request_again(database, twice)
    give_back(database, twice, request=2)
    servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": broker, "COLUMNS": "200"}

    shown = CliRunner().invoke(status, env=servers).output
    told = json.loads(CliRunner().invoke(status, ["--json"], env=servers).output)
    (found,) = look(database, "untried")

    assert "1 message waits, the oldest for" in shown
    assert UNSET in shown
    (item,) = told["untried"]["items"]
    assert (item["reason"], item["count"], item["oldest"]) == (UNSET, 1, str(twice))
    assert (found.level, found.text[:44]) == ("warning", "1 message given back untried more than once,")
    assert UNSET in found.text


def give_back(database: str, message: UUID, *, request: int = 1) -> None:
    with opened(database) as connection:
        won = claim(connection, [Record(message, request)], lease=60)
        back = Outcome(id=message, attempt=won[message].attempt, outcome="postponed", reason=UNSET, retry_in=60.0)
        record_outcomes(connection, [back], dead_letters="dead_letters")
