"""What was promised, what happened, and whether the two agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from herald.outbox.message.events import Adopted, Postponed, Requested, Started
from herald.outbox.message.state import FINAL
from herald.outbox.registry import DEAD_LETTERS
from tests.proof.model.statements import date

if TYPE_CHECKING:
    from tests.proof.model.kafka import Sent as Record
    from tests.proof.model.postgres import Row
    from tests.proof.model.world import World


class ViolationError(Exception):
    """A promise was broken."""


@dataclass(eq=False)
class Promise:
    """What a client asked for, and what it was answered."""

    id: UUID
    key: str | None
    is_later: bool
    asked: int  # steps
    answered: int | None = None
    is_accepted: bool = False
    cancelled: bool = False


@dataclass(eq=False)
class Call:
    """One call of a destination."""

    id: UUID
    attempt: int
    is_open: bool = True
    is_success: bool = False


@dataclass(eq=False)
class Foreign:
    """What another producer wrote, and the messages it was taken for."""

    ids: set[UUID] = field(default_factory=set)
    truncations: int = 0  # how often Kafka had given offsets out again when it landed
    was_polled: bool = False
    is_ambiguous: bool = False
    was_lost: bool = False


@dataclass
class Stream:
    """What happened to one message, in the order of commits, what was lost later included."""

    started: int | None = None
    published: int | None = None
    partitions: int = 0
    was_published: bool = False
    landed: set[int] = field(default_factory=set)  # requests that were published
    was_claimed: bool = False
    lost_requests: int = 0
    calls: list[Call] = field(default_factory=list)


class Judge:
    """Everybody tells it what happens; what cannot be true raises at once, the rest is judged in the end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.promises: dict[UUID, Promise] = {}
        self.streams: defaultdict[UUID, Stream] = defaultdict(Stream)
        self.foreign: dict[str, Foreign] = {}
        self.excused: set[UUID] = set()  # the fail-over lost it, and Kafka did not have it either
        self.disturbed: set[UUID] = set()  # a server lost something of it: its order is not promised
        self.rewound: set[UUID] = set()  # a fail-over or a restore took back events: numbers are given out again
        self.truncations = 0
        self.calm_since: int | None = None  # steps
        self.is_rebasing = False  # then everything pending is requested again, published or not
        self.losses = 0  # faults that lose records or rows
        self._tokens: dict[UUID, str] = {}
        self._names: dict[UUID, str] = {}

    def name(self, value: object) -> object:
        """m1, m2, ... for a message in the story."""
        if not isinstance(value, UUID):
            return value
        return self._names.setdefault(value, f"m{len(self._names) + 1}")

    # --- what clients were told

    def asked(self, message: UUID, key: str | None, *, is_later: bool) -> Promise:
        promise = self.promises[message] = Promise(message, key, is_later, self._world.steps)
        return promise

    def answered(self, promise: Promise, *, is_accepted: bool) -> None:
        promise.answered, promise.is_accepted = self._world.steps, is_accepted

    def cancelled(self, message: UUID) -> None:
        if any(call.is_success for call in self.streams[message].calls) and message not in self.disturbed:
            self._violated(message, "was answered 'cancelled' after it had been delivered")
        self.promises[message].cancelled = True

    # --- what was committed

    def committed(self, rows: list[Row]) -> None:
        for row in rows:
            stream = self.streams[row.stream]
            match row.event:
                case Started():
                    stream.was_claimed = True
                    if stream.started is None:
                        stream.started = self._world.steps
                case Postponed(attempt=1):
                    stream.started = None
                case Requested(cause=cause, request=request) if cause in {"lost", "topic deleted"}:
                    self._repeated(row.stream, stream, request - 1)
                case Adopted():
                    stream.landed.add(1)
                case _:
                    pass
            self._world.say("  {} {} " + _plain(row.event), row.stream, type(row.event).__name__)

    def _repeated(self, message: UUID, stream: Stream, request: int) -> None:
        """What Kafka lost it must have had: the cursor passes nothing else."""
        stream.lost_requests += 1
        self.disturbed.add(message)
        database = self._world.database
        is_here = database.state.cursor and database.state.cursor.system_identifier == database.system_identifier
        if request not in stream.landed and is_here and not self.is_rebasing:
            self._violated(message, f"was passed by the cursor, and its request {request} was never published")
        last = self._world.database.state.messages[message].deliver_by
        is_over = last is not None and last <= date(self._world.clock)  # no claim takes it, and it expires next
        if not is_over and stream.lost_requests > self.losses:
            self._violated(
                message,
                f"was requested again as lost {stream.lost_requests} times, and only {self.losses} faults lose any",
            )

    # --- what Kafka has

    def landed(self, topic: str, record: Record) -> None:
        message, request = record.mark
        if topic == DEAD_LETTERS or isinstance(message, str):
            return
        stream = self.streams[message]
        stream.was_published = True
        stream.landed.add(request)
        if stream.published is None:
            stream.published = self._world.steps
            stream.partitions = self._world.kafka.partitions
        self._world.say("  Kafka has {} request {}", message, request)

    def foreign_landed(self, token: str) -> None:
        self.foreign.setdefault(token, Foreign()).truncations = self.truncations
        self._world.say("  Kafka has {} of another producer", token)

    def polled(self, mark: tuple[UUID | str, int], *, skips: bool) -> None:
        """A member has it; what no member was ever given, Kafka has skipped.

        `skips`: it reads on in a topic made anew as if it were the old one, and nobody can tell.
        """
        if isinstance(mark[0], str):
            self.foreign[mark[0]].was_polled = True
            self.foreign[mark[0]].is_ambiguous |= skips

    def handled(self, messages: Iterable[UUID]) -> None:
        """A worker has settled their records: the database had them."""
        for message in messages:
            self.streams[message].was_claimed = True

    def decoded(self, mark: tuple[UUID | str, int], message: UUID, *, is_late: bool) -> None:
        """A record has its identity: two of other producers must not have the same.

        `is_late`: its topic was deleted while a worker had it in hand.
        """
        token = mark[0]
        if isinstance(token, str):
            self.foreign[token].is_ambiguous |= is_late
            self.foreign[token].ids.add(message)
            other = self._tokens.setdefault(message, token)
            is_ambiguous = self.foreign[token].is_ambiguous or self.foreign[other].is_ambiguous
            if (
                other != token
                and not is_ambiguous
                and self.foreign[other].truncations == self.foreign[token].truncations
            ):
                self._violated(token, f"of another producer is taken for {other}, and lost")

    # --- what servers lost

    def database_lost(self, rows: list[Row]) -> None:
        """A fail-over or a restore: who was never on Kafka, or had been read from it, is excused."""
        self.losses += 1
        waiting = self._waiting()
        for row in rows:
            stream = self.streams[row.stream]
            self.disturbed.add(row.stream)
            self.rewound.add(row.stream)
            for call in stream.calls:
                call.is_open = False
            if isinstance(row.event, Adopted):
                self.foreign[self._tokens[row.stream]].was_lost = True
            if row.stream in self._world.database.state.messages:
                continue
            if row.stream not in waiting or stream.was_claimed:
                self.excused.add(row.stream)
        self._world.say("  lost: " + ", ".join(f"{self.name(row.stream)}.{row.version}" for row in rows))

    def kafka_lost(self) -> None:
        """Records are gone, or the group's place: what only Kafka had is excused."""
        self.losses += 2  # the sweep and the watch over topics may both find it
        waiting = self._waiting()
        known = self._world.database.state.messages
        for message, stream in self.streams.items():
            self.disturbed.add(message)
            if message not in known and message not in waiting and stream.was_published:
                self.excused.add(message)
        for token, foreign in self.foreign.items():
            if token not in waiting:
                foreign.was_lost = True

    def _waiting(self) -> set[UUID | str]:
        """What stands unread on the topics."""
        kafka = self._world.kafka
        return {
            record.mark[0]
            for name, topic in kafka.topics.items()
            for number, records in enumerate(topic.partitions)
            for record in records[kafka.unread_from(name, number) :]
        }

    # --- what destinations see

    def call_begins(self, message: UUID, attempt: int, data: Any) -> Call:
        stream = self.streams[message]
        if any(call.is_open for call in stream.calls):
            self._violated(message, "is delivered twice at once")
        if self.promises.get(message) and self.promises[message].cancelled and message not in self.disturbed:
            self._violated(message, "is delivered after its client was told that it was cancelled")
        state = self._world.database.state.messages.get(message)
        is_claimed = state is None or (state.status, state.attempts) == ("sending", attempt)
        if state is not None and not is_claimed and message not in self.disturbed:
            standing = f"{state.status} {state.attempts}"
            self._violated(message, f"is delivered in attempt {attempt}, and stands at {standing}")
        if state is not None and message not in self.rewound and state.data != data:
            self._violated(message, f"is delivered with {data} instead of {state.data!r}")
        call = Call(message, attempt)
        stream.calls.append(call)
        return call

    def call_ends(self, call: Call, *, is_success: bool) -> None:
        call.is_open, call.is_success = False, is_success

    # --- the end

    def is_settled(self) -> bool:
        """Whether nothing is left to be done."""
        world = self._world
        state = world.database.state
        return (
            all(message.status in FINAL for message in state.messages.values())
            and all(promise.answered is not None for promise in self.promises.values())
            and world.kafka.is_consumed(("generic_topic",))
        )

    def judge(self) -> None:
        """Raises ViolationError for the first promise that was broken."""
        messages = self._world.database.state.messages
        for promise in self.promises.values():
            if promise.is_accepted and promise.id not in messages and promise.id not in self.excused:
                self._violated(promise.id, "was answered 202 and is lost")
        for message in messages.values():
            if message.status not in FINAL:
                whose = "was answered 202" if message.id in self.promises else "was adopted"
                self._violated(message.id, f"{whose} and is never final: it stands at {message.status}")
            self._end_agrees(message.id, message.status)
        self._order()
        self._adoptions()

    def _end_agrees(self, message: UUID, status: str) -> None:
        calls = self.streams[message].calls
        if status == "sent" and not any(call.is_success for call in calls):
            self._violated(message, "is sent, and no destination took it")
        if status == "dead" and not calls and message not in self.disturbed and not self.streams[message].was_claimed:
            self._violated(message, "is dead, and was never tried")
        began = self.streams[message].started
        if status == "dead" and not calls and began and self.calm_since is not None and began > self.calm_since:
            self._violated(message, "was claimed when nothing failed any more, and died without a try")
        if status == "cancelled" and message not in self.disturbed and any(call.is_success for call in calls):
            self._violated(message, "is cancelled, and was delivered")

    def _order(self) -> None:
        told = [one for one in self.promises.values() if one.key and one.is_accepted and not one.is_later]
        messages = self._world.database.state.messages
        told = [one for one in told if one.id not in self.disturbed and one.id in messages]
        for before in told:
            for after in told:
                if before.key != after.key or before.answered is None or before.answered >= after.asked:
                    continue
                first, second = self.streams[before.id], self.streams[after.id]
                if first.published and second.published and second.published < first.published:
                    self._violated(
                        after.id,
                        f"is published before {self.name(before.id)}, which was answered before it was asked for",
                    )
                to = messages[before.id].destination == messages[after.id].destination
                if (
                    to
                    and first.partitions == second.partitions
                    and first.started
                    and second.started
                    and second.started < first.started
                ):
                    self._violated(
                        after.id,
                        f"is attempted before {self.name(before.id)}, which was answered before it was asked for",
                    )

    def _adoptions(self) -> None:
        messages = self._world.database.state.messages
        for token, foreign in self.foreign.items():
            count = sum(message in messages for message in foreign.ids)
            shares = foreign.is_ambiguous or any(self._tokens[message] != token for message in foreign.ids)
            if not shares and (count > 1 or (count == 0 and foreign.was_polled and not foreign.was_lost)):
                self._violated(token, f"of another producer was adopted {count} times")

    def _violated(self, message: object, what: str) -> None:
        text = f"{self.name(message)} {what}"
        self._world.say("VIOLATION: " + text)
        raise ViolationError(text)


def _plain(event: object) -> str:
    """The fields that tell a story."""
    shown = ("cause", "request", "attempt", "reason")
    return " ".join(f"{name}={getattr(event, name)}" for name in shown if getattr(event, name, None) is not None)
