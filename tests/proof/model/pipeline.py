"""The pipeline: consumers of one group, the worker that claims, deliveries in their lanes.

What arrives is decoded by the real decoder; lanes and the retry policy are the real ones too.
"""

import inspect
from collections import deque
from collections.abc import Callable, Generator
from typing import Any
from uuid import UUID

from herald.outbox.moves.claim import REASONS, Claim, Record
from herald.outbox.moves.record import Outcome
from herald.pipeline.channel import PermanentError, TemporaryError, UnknownOutcomeError
from herald.pipeline.consume.decoding import Decoder
from herald.pipeline.consume.record import Arrival, Request, SourceError
from herald.pipeline.consume.topic_ids import TopicIds
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.lanes import Lanes
from herald.pipeline.deliver.retry import OUT_OF_TIME, RetryPolicy, postponed
from herald.pipeline.topic import Topic
from tests.proof.model import statements
from tests.proof.model.api import commit
from tests.proof.model.kafka import KafkaAwayError, Place, StaleMemberError
from tests.proof.model.kafka import Sent as Stored
from tests.proof.model.postgres import AwayError, Session, waited
from tests.proof.model.relay import SOURCE
from tests.proof.model.scheduler import LEASE, TIMEOUT, policy
from tests.proof.model.statements import BEGINNING, Found
from tests.proof.model.world import TOPIC, Actor, Steps, World

Mark = tuple[UUID | str, int]  # what the judge knows a record by

NAMES = (TOPIC,)
DAY = 86_400.0  # seconds
IDLE = 1e6  # seconds: until somebody rings
PATIENCE = 20.0  # seconds an outage may last
TOPICS = {TOPIC: Topic(data=dict[str, Any])}


class ProcessEndError(Exception):
    """Quix stops, or the worker does: the process ends, and its supervisor starts another."""


class Pipeline:
    """One process after the other, in the same place."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.process: Process | None = None
        self.start(0.0)

    def start(self, rest: float) -> None:
        self.world.start(self.name, self._start(), rest=rest)

    def _start(self) -> Steps:
        yield 0.0
        while self.world.kafka.is_away or TOPIC not in self.world.kafka.topics:
            yield 1.0
        self.process = Process(self.world, self)

    def kill(self, rest: float) -> None:
        """The group notices at the end of the session, in a few seconds."""
        process, self.process = self.process, None
        if process is None:
            return
        self.world.say("{} is killed", self.name)
        process.die()
        self.start(rest)


class Process:
    """What one process remembers; all of it is lost with it."""

    def __init__(self, world: World, place: Pipeline) -> None:
        self.world, self._place = world, place
        self.inbox: deque[tuple[Arrival, Mark, str]] = deque()
        self.added = self.settled = 0
        self.outcomes: deque[Outcome] = deque()
        self.lanes = Lanes(())
        self.decoder = Decoder(
            TOPICS,
            source=SOURCE,
            max_bytes=10_000,
            topic_ids=TopicIds(world.kafka.topic_ids if world.has("topic id") else dict, clock=lambda: world.clock),
            read_latest_date=lambda: int(1000 * (BEGINNING.timestamp() + world.clock + DAY)),
            is_known=lambda _message: False,
            clock=lambda: BEGINNING.timestamp() + world.clock,
        )
        world.kafka.join(self)
        self.actors: list[Actor] = []
        self.begin("consumer", Consumer(self).run())
        self._worker = self.begin("worker", Worker(self).run())

    def begin(self, name: str, steps: Steps) -> Actor:
        actor = self.world.start(f"{self._place.name}'s {name}", self._guarded(steps))
        self.actors.append(actor)
        return actor

    def ring(self) -> None:
        """There is work for the worker."""
        self._worker.wake = min(self._worker.wake, self.world.clock + 0.4 * self.world.random.random())

    def _guarded(self, steps: Steps) -> Steps:
        try:
            yield from steps
        except ProcessEndError as error:
            self.world.say("{} ends: {}", self._place.name, error)
            self._place.kill(1.0)

    def die(self) -> None:
        for actor in self.actors:
            if inspect.getgeneratorstate(actor.steps) == inspect.GEN_RUNNING:
                self.world.actors.remove(actor)
            else:
                self.world.stop(actor)
        self.world.start("group", self._leave(), rest=self.world.random.uniform(0, 5))

    def _leave(self) -> Steps:
        self.world.kafka.leave(self)
        yield 0.0


class Consumer:
    """Polls, hands over, and commits offsets once everything handed over is claimed."""

    def __init__(self, process: Process) -> None:
        self._process, self._world, self._kafka = process, process.world, process.world.kafka
        self._generation = -1
        self._positions: dict[Place, int] = {}
        self._topic_id = ""

    def run(self) -> Steps:
        random = self._world.random
        while True:
            polled = 0
            for _ in range(random.randint(1, 4)):
                if not self._poll():
                    break
                polled += 1
                yield 0.0
            if polled:
                yield from self._flush()
            else:
                yield random.uniform(0.5, 1.5)

    def _poll(self) -> bool:
        if self._kafka.is_away:
            return False
        if self._generation != self._kafka.generation and self._world.random.random() < 0.5:
            self._generation = self._kafka.generation
            assigned = self._kafka.assigned(self._process, NAMES)
            self._topic_id = self._kafka.topics[TOPIC].id if TOPIC in self._kafka.topics else ""
            self._positions = {place: self._kafka.committed.get(place, 0) for place in assigned}
        found = [place for place in self._positions if self._next(place) is not None]
        if not found:
            return False
        place = self._world.random.choice(found)
        record = self._next(place)
        if record is not None:
            topic_id = self._kafka.topics[place[0]].id
            self._process.inbox.append((_arrival(place, self._positions[place], record), record.mark, topic_id))
            self._process.added += 1
            self._process.ring()
            self._world.judge.polled(record.mark, skips=self._topic_id != topic_id and self._positions[place] > 0)
            self._positions[place] += 1
        return True

    def _next(self, place: Place) -> Stored | None:
        """The next record; beyond the end, and before the beginning, the consumer begins at the earliest."""
        topic = self._kafka.topics.get(place[0])
        if topic is None:
            return None
        records, first = topic.partitions[place[1]], topic.first[place[1]]
        if not first <= self._positions[place] <= len(records):
            self._positions[place] = first
        offset = self._positions[place]
        return records[offset] if offset < len(records) else None

    def _flush(self) -> Steps:
        """The window's end; other members may have the partitions meanwhile."""
        target, offsets = self._process.added, dict(self._positions)
        while self._process.settled < target:
            yield 0.2
        try:
            self._kafka.commit(self._process, self._generation, offsets)
        except StaleMemberError:
            if self._world.random.random() < 0.5:
                message = "the group has gone on without it"
                raise ProcessEndError(message) from None
        except KafkaAwayError as error:
            message = "the broker is gone"
            raise ProcessEndError(message) from error
        yield 0.0


def _arrival(place: Place, offset: int, record: Stored) -> Arrival:
    headers = [(name, text if isinstance(text, bytes) else text.encode()) for name, text in record.headers or ()]
    key = None if record.key is None else record.key.encode()
    return Arrival(record.value, key, record.timestamp, headers or None, place[0], place[1], offset)


class Worker:
    """Outcomes recorded, the next requests claimed, in one transaction of several statements."""

    def __init__(self, process: Process) -> None:
        self._process, self._world = process, process.world
        self._session: Session | None = None

    def run(self) -> Steps:
        try:
            while True:
                yield from self._work()
        finally:
            if self._session is not None:
                self._session.end()

    def _work(self) -> Steps:
        process, world = self._process, self._world
        outcomes = self._take_outcomes()
        arrivals, requests = self._take_requests()
        if not arrivals and not outcomes:
            yield IDLE
            return
        asked_at = world.clock
        won = yield from self._write(outcomes, requests)
        process.lanes.recorded(outcomes)
        for request in requests:
            if request.id in won:
                one = won[request.id]
                deadline = asked_at + LEASE - TIMEOUT
                attempt = Attempt(
                    request,
                    one.attempt,
                    deadline,
                    destination=_to(request),
                    uncounted=one.uncounted,
                    unknowns=one.unknowns,
                )
                may_begin = process.lanes.enter(attempt)
                if may_begin:
                    process.begin("delivery", deliver(process, attempt))
                if may_begin is None:
                    process.outcomes.append(postponed(attempt, REASONS["behind"], "behind", wait=1.0))
        process.settled += arrivals
        yield 0.0

    def _take_outcomes(self) -> list[Outcome]:
        taken: dict[Any, Outcome] = {}
        while self._process.outcomes and self._process.outcomes[0].id not in taken:
            outcome = self._process.outcomes.popleft()
            taken[outcome.id] = outcome
        return list(taken.values())

    def _take_requests(self) -> tuple[int, list[Request]]:
        inbox, requests = self._process.inbox, dict[UUID, Request]()
        if not inbox:
            return 0, []
        count = self._world.random.randint(1, 4)
        for taken in range(min(count, len(inbox))):
            arrival, mark, topic_id = inbox[0]
            try:
                request = self._process.decoder.decode(arrival)
            except SourceError as error:
                message = "Kafka does not say which topic a record stands on"
                raise ProcessEndError(message) from error
            topic = self._world.kafka.topics.get(TOPIC)
            self._world.judge.decoded(mark, request.id, is_late=topic is None or topic.id != topic_id)
            if request.id in requests:
                return taken, list(requests.values())
            requests[request.id] = request
            inbox.popleft()
        return len(requests), list(requests.values())

    def _write(self, outcomes: list[Outcome], requests: list[Request]) -> Generator[float, None, dict[Any, Claim]]:
        deadline = self._world.clock + PATIENCE
        while True:
            try:
                return (yield from self._transact(outcomes, requests))
            except AwayError as error:
                if self._session is not None:
                    self._session.end()
                if self._world.clock > deadline:
                    raise ProcessEndError(str(error)) from error
            yield 0.5

    def _transact(self, outcomes: list[Outcome], requests: list[Request]) -> Generator[float, None, dict[Any, Claim]]:
        world = self._world
        if self._session is None or not self._session.is_alive:
            self._session = world.database.connect()
        session = self._session
        if outcomes:
            yield from waited(lambda: statements.record_outcomes(session.begin(), world.clock, outcomes))
            yield 0.0
        foreign = [_found(one) for one in requests if one.version is None]
        if foreign:
            yield from waited(lambda: statements.adopt(session.begin(), world.clock, foreign))
            yield 0.0
        won = yield from waited(lambda: self._claim(session, requests))
        yield 0.0
        losers = [one for one in requests if one.version and one.id not in won]
        missing = statements.unknown(session.begin(), [one.id for one in losers])
        if missing:
            lost = [one for one in losers if one.id in missing]
            yield from waited(lambda: statements.recover(session.begin(), world.clock, [_found(one) for one in lost]))
            yield 0.0
            won = {**won, **(yield from waited(lambda: self._claim(session, lost)))}
        yield 0.0
        yield from commit(world, session)
        world.judge.handled(one.id for one in requests)
        return won

    def _claim(self, session: Session, requests: list[Request]) -> dict[Any, Claim]:
        records = [Record(one.id, one.request, destination=_to(one)) for one in requests]
        is_exact = self._world.has("request number")
        return statements.claim(session.begin(), self._world.clock, records, lease=LEASE, fits_request=is_exact)


def _to(request: Request) -> str:
    return str(request.data.get("to", "log"))


def _found(request: Request) -> Found:
    return Found(
        request.id, request.topic, request.key, request.data, request.source, request.version or 1, request.request
    )


def deliver(process: Process, attempt: Attempt) -> Steps:
    """One attempt after the other, as its lane lets them go."""
    following: Attempt | None = attempt
    while following is not None:
        current = following
        outcome = yield from _perform(process.world, current)
        process.outcomes.append(outcome)
        following, back = process.lanes.leave(current, outcome)
        process.outcomes += [postponed(one, REASONS["behind"], "behind", wait=1.0) for one in back]
        process.ring()
        yield 0.0


def _perform(world: World, attempt: Attempt) -> Generator[float, None, Outcome]:
    if world.clock > attempt.deadline:
        return postponed(attempt, OUT_OF_TIME, "out_of_time", wait=1.0)
    call = world.judge.call_begins(attempt.request.id, attempt.number, attempt.request.data)
    world.say("{} is called: {} attempt {}", attempt.destination, attempt.request.id, attempt.number)
    try:
        yield world.random.uniform(0.0, TIMEOUT * 0.6)
    finally:
        call.is_open = False  # also when the process is killed in the middle
    fails = world.chance(0.35)
    error = world.random.choice(_ERRORS)("it failed") if fails else None
    took_it = error is None or isinstance(error, UnknownOutcomeError)
    world.judge.call_ends(call, is_success=took_it)
    if error is not None:
        return RetryPolicy(policy(attempt.destination), uniform=world.random.uniform).after(error, attempt)
    return Outcome(id=attempt.request.id, attempt=attempt.number, outcome="sent", destination=attempt.counted)


_ERRORS: tuple[Callable[[str], Exception], ...] = (TemporaryError, TemporaryError, PermanentError, UnknownOutcomeError)
