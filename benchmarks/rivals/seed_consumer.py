"""The consumer that Herald was made from: kafka-python in batches of 25, for each record up to 100 unsent rows.

It stands as its documentation has it: the rows are read from the table whatever the record says, and each is a
transaction of its own; of what one poll brings beyond the batch nothing is kept. It only stops when nothing is left,
and its log goes nowhere.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from time import monotonic
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from sqlalchemy import create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from benchmarks.machine import watched

BATCH_SIZE, BATCH_TIMEOUT = 25, 5
TOPIC = "notifications"
_log = logging.getLogger(__name__)


class Base(DeclarativeBase):
    """The table's."""


class Notification(Base):
    """A row that is to be sent."""

    __tablename__ = "notifications"
    id: Mapped[int] = mapped_column(primary_key=True)
    users: Mapped[str]
    event: Mapped[str]
    message: Mapped[str]
    sent_status: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]


def main(count: int) -> dict[str, Any]:
    """Rows sent per second, from the first record to the last row."""
    url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://")
    make_session = sessionmaker(create_engine(url))
    _fill(make_session, count)
    consumer = KafkaConsumer(
        TOPIC,
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        value_deserializer=lambda value: json.loads(value.decode()),
        auto_offset_reset="earliest",
        enable_auto_commit=True,
        group_id="fastapi_template_group",
        session_timeout_ms=6000,
        request_timeout_ms=10000,
    )
    sent, began = 0, 0.0
    with watched() as span:
        while sent < count:
            batch = _take(consumer)
            began = began or monotonic()
            for value in batch:
                if all(value.get(name) for name in ("user_id", "event", "content")):
                    sent += _process(make_session)
        seconds = monotonic() - began
    return {"rate": sent / seconds, "idle": span.idle, "version": f"kafka-python {version('kafka-python')}"}


def _take(consumer: KafkaConsumer) -> list[dict[str, str]]:
    batch: list[dict[str, str]] = []
    began = datetime.now(UTC)
    while len(batch) < BATCH_SIZE and (datetime.now(UTC) - began).seconds < BATCH_TIMEOUT:
        for records in consumer.poll(timeout_ms=1000).values():
            batch += [record.value for record in records]
    return batch[:BATCH_SIZE]


def _process(make_session: sessionmaker[Session]) -> int:
    with make_session() as session:
        unsent = select(Notification).where(~Notification.sent_status).order_by(Notification.created_at).limit(100)
        notifications = session.scalars(unsent).all()
        for notification in notifications:
            _log.info("sending %s to %s: %s", notification.id, notification.users, notification.message)
            notification.sent_status = True
            session.commit()
        return len(notifications)


def _fill(make_session: sessionmaker[Session], count: int) -> None:
    rows = [
        {"users": "42", "event": "rival", "message": os.urandom(460).hex(), "sent_status": False, "created_at": at}
        for at in [datetime.now(UTC)]
        for _ in range(count)
    ]
    with make_session() as session:
        Base.metadata.create_all(session.get_bind())
        session.execute(insert(Notification), rows)
        session.commit()
    producer = KafkaProducer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"])
    for row in rows:
        value = {"user_id": row["users"], "event": row["event"], "content": row["message"]}
        producer.send(TOPIC, json.dumps(value).encode())
    producer.flush()


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
