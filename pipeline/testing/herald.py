"""Herald in a test: everything is real, the pipeline runs in this process, so a breakpoint in a handler holds."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import msgspec

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.topics import make_topics
from herald.outbox.message.notification import TOPIC
from herald.outbox.moves.accept import accept
from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.engine import make_engine
from herald.outbox.postgres.notify import notify
from herald.outbox.postgres.queries import EventState, MessageState, events_of, find_message
from herald.outbox.up.child import until
from herald.pipeline.testing.clock import VirtualClock
from herald.pipeline.testing.consumers import Consumers
from herald.pipeline.testing.evidence import collected
from herald.pipeline.testing.journal import Call, Journal
from herald.pipeline.testing.posting import make_message
from herald.pipeline.testing.records import Place, publish
from herald.pipeline.testing.settings import make_settings
from herald.pipeline.testing.system import CRASHABLE, Doomed, Part, run_pipeline, run_relay

DEADLINE = 30.0  # seconds, on a busy machine too
DATES = ("deliver_at", "deliver_by", "priority")  # of a notification, which has them among its data
CRASH_DEADLINE = 60.0  # seconds; a process has to start and to come to its crash point


class Herald:
    """A running system. Times in seconds; `clock` moves the database's time.

    Each pipeline has a consumer group of its own and reads everything again: more than a restart repeats, and
    claims drop it. In one group the embedded broker would wait for a member that left while it joined.
    """

    def __init__(
        self, said: dict[str, Any], consumers: Consumers, clock: VirtualClock, folder: Path, opened: ExitStack
    ) -> None:
        self.settings = make_settings(said)
        self.clock = clock
        self._said = said
        self._consumers = consumers
        self._journal = opened.enter_context(closing(Journal(folder / "journal.jsonl")))
        self._connection = opened.enter_context(closing(connect(self.settings, "herald-testing")))
        self._engine = make_engine(self.settings, "herald-testing")
        opened.callback(self._engine.dispose)
        make_topics(make_admin(self.settings), self.settings)
        self._evidence = opened.enter_context(collected(self.settings, self._journal))
        self._accepted: list[UUID] = []
        self._published: list[Place] = []
        self._groups = (f"{self.settings.group or 'herald'}-{number}" for number in count(1))
        self._relay = Part("relay", partial(run_relay, self.settings))
        self._pipeline: Part | Doomed = self._in_a_thread()
        opened.callback(self.stop)

    def post(self, topic: str, data: object, **fields: object) -> UUID:
        """Accept a message, as `POST /messages` does; returns its id. Raises ValueError that names the field.

        `fields` are key, deliver_at, deliver_by and priority.
        """
        if topic == TOPIC:
            message = f"topic: a notification has fields of its own, use notify() for {TOPIC}"
            raise ValueError(message)
        return self._accept(topic, data, fields)

    def notify(self, user_id: str, event: str, content: str, **fields: object) -> UUID:
        """Accept a notification, as `POST /notifications` does; returns its id. Raises ValueError."""
        said = {"user_id": user_id, "event": event, "content": content, **fields}
        return self._accept(TOPIC, said, {name: fields[name] for name in DATES if name in fields})

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
            nonlocal left
            self._relay.check()
            self._pipeline.check()
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
        """From now on the pipeline runs in a process of its own, which kill -9 ends at this point.

        Raises ValueError for a point that is none, TypeError for consumers that are no modules.
        """
        if point not in CRASHABLE:
            message = f"point: {point!r} is none of the pipeline's: {', '.join(CRASHABLE)}"
            raise ValueError(message)
        settings, journal = {**self._said, "group": next(self._groups)}, self._journal.path
        said = {"settings": settings, "consumers": self._consumers.modules(), "journal": str(journal)}
        self._pipeline.end()
        self._pipeline = Doomed(said, crash_at=point, folder=journal.parent)

    def wait_until_crashed(self, deadline: float = CRASH_DEADLINE) -> None:
        """Return once it was killed. Raises AssertionError when it was not."""
        pipeline = self._pipeline
        if not isinstance(pipeline, Doomed) or not until(lambda: pipeline.is_crashed, deadline):
            log = pipeline.log() if isinstance(pipeline, Doomed) else ""
            message = f"the pipeline did not come to its crash point within {deadline:g} s; its log:\n{log}"
            raise AssertionError(message)

    def restart(self) -> None:
        """Start the pipeline again, in this process; one that was to crash and has not is killed now.

        What the killed one had in hand belongs to it until its lease ends: move the clock past it.
        """
        self._pipeline.end()
        self._pipeline = self._in_a_thread()

    def stop(self) -> None:
        """End both parts, side by side."""
        self._relay.told.set()
        self._pipeline.end()
        self._relay.end()

    def _in_a_thread(self) -> Part:
        settings = self.settings.model_copy(update={"group": next(self._groups)})
        return Part("pipeline", partial(run_pipeline, settings, self._journal))

    def _accept(self, topic: str, data: object, fields: dict[str, object]) -> UUID:
        acceptance = make_message(topic, data, fields, self.settings, now=self.clock.now())
        with self._connection:
            accept(self._connection, [acceptance])
            notify(self._connection)
        self._accepted.append(acceptance.id)
        return acceptance.id


@contextmanager
def running(said: dict[str, Any], consumers: Consumers, clock: VirtualClock, *, folder: Path) -> Iterator[Herald]:
    """Herald by these settings; everything has ended when the block has. Raises KafkaException, PostgresError."""
    with ExitStack() as opened:
        opened.enter_context(consumers.registered())
        yield Herald(said, consumers, clock, folder, opened)
