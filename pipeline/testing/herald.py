"""Herald in a test: everything is real, the pipeline runs in this process, so a breakpoint in a handler holds."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name
from sqlalchemy import Engine

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.topics import make_topics, read_topic_ids
from herald.outbox.moves.accept import Acceptance, accept
from herald.outbox.moves.adopt import is_known, read_reach
from herald.outbox.postgres.connections import connect, make_engine
from herald.outbox.postgres.notify import CHANNEL
from herald.outbox.postgres.queries import EventState, MessageState, events_of, find_message
from herald.outbox.settings import Settings
from herald.outbox.up.child import until
from herald.pipeline.consume.decoding import Decoder
from herald.pipeline.consume.topic_ids import TopicIds
from herald.pipeline.load import load_topics
from herald.pipeline.testing import posting
from herald.pipeline.testing.clock import VirtualClock
from herald.pipeline.testing.consumers import Consumers
from herald.pipeline.testing.evidence import Evidence
from herald.pipeline.testing.journal import Call, Journal
from herald.pipeline.testing.records import Place, publish, reading
from herald.pipeline.testing.settings import make_settings
from herald.pipeline.testing.system import System

DEADLINE = 30.0  # seconds, on a busy machine too
CRASH_DEADLINE = 60.0  # seconds; a process has to start and to come to its crash point


@dataclass(frozen=True)
class Herald:
    """A running system. Times in seconds; `clock` moves the database's time."""

    settings: Settings
    clock: VirtualClock
    _system: System
    _connection: Connection
    _engine: Engine
    _evidence: Evidence
    _journal: Journal
    _accepted: dict[UUID, None] = field(default_factory=dict)
    _published: list[Place] = field(default_factory=list)

    def post(
        self,
        topic: str,
        data: object,
        *,
        key: str | None = None,
        deliver_at: datetime | None = None,
        deliver_by: datetime | None = None,
        priority: int | None = None,
    ) -> UUID:
        """Accept a message, as `POST /messages` does; returns its id. Raises ValueError that names the field."""
        fields = {"key": key, "deliver_at": deliver_at, "deliver_by": deliver_by, "priority": priority}
        return self._accept(posting.make_message(topic, data, fields, self.settings, now=self.clock.now()))

    def notify(self, user_id: str, event: str, content: str, **fields: Any) -> UUID:  # noqa: ANN401 - a notification's
        """Accept a notification, as `POST /notifications` does; returns its id. Raises ValueError."""
        said = {"user_id": user_id, "event": event, "content": content, **fields}
        return self._accept(posting.make_notification(said, self.settings, now=self.clock.now()))

    def publish_foreign(
        self, topic: str, value: object, *, key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Place:
        """Put a record on a topic as another producer would; bytes as they are, everything else as JSON.

        Returns topic, partition and offset. Raises KafkaException.
        """
        raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
        place = publish(self.settings, topic, raw, key, headers or {})
        self._published.append(place)
        return place

    def look(self, message: UUID) -> MessageState:
        """A message as it stands. Raises LookupError for one that there is not."""
        with self._engine.connect() as connection:
            found = find_message(connection, message)
        if found is None:
            detail = f"no message {message}"
            raise LookupError(detail)
        return found

    def history(self, message: UUID) -> Sequence[EventState]:
        """Its events, oldest first."""
        with self._engine.connect() as connection:
            return events_of(connection, message)

    @property
    def deliveries(self) -> list[Call]:
        """Every call of a handler or channel so far, in the order in which they began."""
        return self._journal.calls()

    def wait_until_settled(self, deadline: float = DEADLINE) -> None:
        """Return once every message is over and everything is on Kafka that belongs there.

        Raises AssertionError that names what is not: after `deadline` seconds, or as soon as nothing can
        happen any more because a part has ended, or because all dates lie later.
        """
        end = monotonic() + deadline
        left: list[str] = []

        def settled() -> bool:
            self._system.check()
            nonlocal left
            left, is_idle = self._evidence.unfinished(within=max(0.0, end - monotonic()))
            if is_idle:
                raise AssertionError("\n  ".join(["nothing happens before its date: move the clock", *left]))
            if not left:
                left = self._evidence.missing_on_kafka(self._published) or self._evidence.unfinished()[0]
            return not left

        if not until(settled, deadline):
            raise AssertionError("\n  ".join([f"not settled within {deadline:g} s", *left]))

    def assert_nothing_lost(
        self, arrived: Callable[[], Iterable[UUID]] | None = None, *, deadline: float = DEADLINE
    ) -> None:
        """What was accepted is over, and log, table, Kafka and calls agree.

        `arrived`, asked once everything is settled or the deadline is over, gives the ids of the messages
        that the destination really has, repetitions included: only with them can be told whether a handler
        returned without having done its work. Raises AssertionError with all that is wrong, and the histories.
        """
        waited = None
        try:
            self.wait_until_settled(deadline)
        except AssertionError as error:
            waited = error
        there = None if arrived is None else list(arrived())
        found = self._evidence.complaints(self._accepted, self._published, there)
        if waited is not None or found:
            raise AssertionError("\n  ".join(["something is lost, or not over:", *found])) from waited

    def crash_at(self, point: str) -> None:
        """From now on the pipeline runs in a process of its own, which kill -9 ends at this point."""
        self._system.crash_at(point)

    def wait_until_crashed(self, deadline: float = CRASH_DEADLINE) -> None:
        """Return once it was killed. Raises AssertionError when it was not."""
        if not until(lambda: self._system.is_crashed, deadline):
            message = (
                f"the pipeline did not come to its crash point within {deadline:g} s; its log:\n{self._system.log}"
            )
            raise AssertionError(message)

    def restart(self) -> None:
        """Start the pipeline again, in this process.

        What the killed one had in hand belongs to it until its lease ends: move the clock past it.
        """
        self._system.restart()

    def _accept(self, acceptance: Acceptance) -> UUID:
        with self._connection, self._connection.cursor() as cursor:
            accept(self._connection, [acceptance])
            cursor.execute(f"NOTIFY {CHANNEL}")
        self._accepted[acceptance.id] = None
        return acceptance.id


@contextmanager
def running(said: dict[str, Any], consumers: Consumers, clock: VirtualClock, *, folder: Path) -> Iterator[Herald]:
    """Herald by these settings; everything has ended when the block has. Raises KafkaException, psycopg2.Error."""
    with ExitStack() as opened:
        opened.enter_context(consumers.registered())
        settings = make_settings(said)
        journal = opened.enter_context(closing(Journal(folder / "journal.jsonl")))
        writing, looking = (opened.enter_context(closing(connect(settings, "herald-testing"))) for _ in range(2))
        looking.set_session(isolation_level="REPEATABLE READ", readonly=True)
        engine = make_engine(settings, "herald-testing")
        opened.callback(engine.dispose)
        admin = make_admin(settings)
        make_topics(admin, settings)
        decoder = Decoder(
            load_topics(),
            source=settings.source,
            max_bytes=settings.max_body,
            topic_ids=TopicIds(lambda: read_topic_ids(admin)),
            read_reach=lambda: read_reach(writing),
            is_known=lambda message: is_known(writing, message),
            max_ahead=settings.max_ahead,
        )
        records = opened.enter_context(reading(settings))
        evidence = Evidence(looking, records, decoder, journal)
        system = System(settings, said, consumers, journal, folder=folder)
        opened.callback(system.stop)
        yield Herald(settings, clock, system, writing, engine, evidence, journal)
