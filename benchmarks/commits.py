"""Commits at a rate, each a message in a transaction of its own, and when a consumer has its record."""

import json
from collections.abc import Callable
from contextlib import closing
from threading import Event, Thread
from time import monotonic, time
from typing import Any, NamedTuple
from uuid import uuid4

import click
from confluent_kafka import Consumer, Message, TopicPartition

from benchmarks.letters import letters
from benchmarks.machine import watched
from benchmarks.stage import ANSWER_TIMEOUT
from herald.outbox.message.notification import TOPIC
from herald.outbox.moves.accept import accept, make_acceptance
from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.notify import Notifier
from herald.outbox.settings import Settings, load_settings
from tests.servers.postgres import connect_to_tables

WRITERS = 4
WARM_UP = 2.0  # seconds that do not count
SETTLE = 10.0  # seconds until every record must have come
ROW = "INSERT INTO outbox_event VALUES (%s, %s, %s, 'message.requested', %s)"
Commit = Callable[[Connection, str, bytes], str]  # returns the id by which its record is known
Name = Callable[[Message], Any]


class Pace(NamedTuple):
    """Commits per second of all writers, for how long, and from when on they count, by the clock `monotonic`."""

    rate: float
    seconds: float
    counted_from: float


@click.command()
@click.option("--kind", type=click.Choice(["herald", "debezium"]), required=True)
@click.option("--topic", required=True)
@click.option("--rate", type=float, required=True)
@click.option("--seconds", type=float, required=True)
def main(kind: str, topic: str, rate: float, seconds: float) -> None:
    """Print the milliseconds from each COMMIT's answer to its record, how many are missing, and the idle CPU."""
    settings = load_settings()
    notifier = Notifier(lambda: _notifying(settings))
    notifier.start()
    commit = _for_herald(notifier) if kind == "herald" else _for_debezium(topic)
    reader = Reader(settings, topic, _subject if kind == "herald" else Message.key)
    committed: dict[str, float] = {}
    pace = Pace(rate, seconds, monotonic() + WARM_UP)
    writers = [
        Thread(target=_write, args=(settings.database_url, commit, committed, pace, number))
        for number in range(WRITERS)
    ]
    with watched() as span:
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    reader.finish(committed)
    notifier.stop()
    delays = [(reader.seen[one] - at) * 1000 for one, at in committed.items() if one in reader.seen]
    missing = len(committed) - len(delays)
    click.echo(json.dumps({"milliseconds": delays, "missing": missing, "idle": span.idle}))


class Reader:
    """Notes when each record came, from now on, in a thread of its own."""

    def __init__(self, settings: Settings, topic: str, name: Name) -> None:
        self.seen: dict[str, float] = {}
        self._name = name
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka_bootstrap_servers,
                "group.id": f"commits-{uuid4().hex}",
                "enable.auto.commit": False,
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=ANSWER_TIMEOUT).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, number, self._end(topic, number)) for number in partitions])
        self._ends = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self, committed: dict[str, float]) -> None:
        """Wait for the last ones."""
        deadline = monotonic() + SETTLE
        while not committed.keys() <= self.seen.keys() and monotonic() < deadline:
            Event().wait(0.1)
        self._ends.set()
        self._thread.join()

    def _end(self, topic: str, number: int) -> int:
        place = TopicPartition(topic, number)
        return int(self._consumer.get_watermark_offsets(place, timeout=ANSWER_TIMEOUT)[1])

    def _run(self) -> None:
        while not self._ends.is_set():
            for record in self._consumer.consume(500, 0.05):
                if not record.error():
                    self.seen[str(self._name(record), "ascii")] = time()


def _write(url: str, commit: Commit, committed: dict[str, float], pace: Pace, number: int) -> None:
    began, count = pace.counted_from - WARM_UP, int(pace.rate * (pace.seconds + WARM_UP))
    with closing(connect_to_tables(url)) as connection:
        for place, (user, data) in zip(range(number, count, WRITERS), letters(count, seed=number), strict=False):
            if (wait := began + place / pace.rate - monotonic()) > 0:
                Event().wait(wait)
            one = commit(connection, user, data)
            if monotonic() >= pace.counted_from:
                committed[one] = time()


def _for_herald(notifier: Notifier) -> Commit:
    def commit(connection: Connection, user: str, data: bytes) -> str:
        message = make_acceptance(TOPIC, user, data)
        accept(connection, [message])
        connection.commit()
        notifier.wake()
        return str(message.id)

    return commit


def _subject(record: Message) -> Any:
    return dict(record.headers() or [])["ce_subject"]


def _for_debezium(topic: str) -> Commit:
    """The key is the id: a header of the router is wrapped as the format of headers has it."""

    def commit(connection: Connection, _user: str, data: bytes) -> str:
        one = str(uuid4())
        with connection.cursor() as cursor:
            cursor.execute(ROW, (one, topic, one, data.decode()))
        connection.commit()
        return one

    return commit


def _notifying(settings: Settings) -> Connection:
    connection = connect(settings, "herald-bench")
    connection.autocommit = True
    return connection


if __name__ == "__main__":
    main()
