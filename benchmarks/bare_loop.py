"""The pipeline's rival: one thread that consumes, writes the same ledger in two transactions, and commits offsets."""

from uuid import UUID

import click
from confluent_kafka import Consumer, Message

from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres.driver import Connection
from herald.outbox.registry import DEAD_LETTERS, TOPICS
from herald.outbox.settings import load_settings
from tests.servers.postgres import connect_to_tables


@click.command()
def main() -> None:
    """Run until killed; windows and group are those of the pipeline's settings."""
    settings = load_settings()
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": settings.group or "herald",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(list(TOPICS))
    connection = connect_to_tables(settings.database_url)
    while True:
        window = [record for record in consumer.consume(settings.window_size, 1.0) if not record.error()]
        if window:
            _handle(connection, window, settings.lease)
            consumer.commit(asynchronous=False)


def _handle(connection: Connection, window: list[Message], lease: float) -> None:
    winners = claim(connection, [_request(record) for record in window], lease=lease)
    connection.commit()
    outcomes = [Outcome(id=one, attempt=attempt, outcome="sent") for one, (attempt, *_) in winners.items()]
    record_outcomes(connection, outcomes, dead_letters=DEAD_LETTERS)
    connection.commit()


def _request(record: Message) -> Record:
    headers = dict(record.headers() or [])
    return Record(UUID(headers["ce_subject"].decode()), int(headers["ce_request"]))


if __name__ == "__main__":
    main()
