"""Relays: one leads, the other stands by. The cursor, its pages and its epochs are the real ones."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import msgspec

from herald.outbox.message.events import Requested
from herald.outbox.relay import reader
from herald.outbox.relay.cursor import LEAP, Cursor
from herald.outbox.relay.records import make_headers
from tests.proof.model import scheduler, statements
from tests.proof.model.kafka import KafkaAwayError, Producer, Sent
from tests.proof.model.postgres import AwayError, Row, Session, save_cursor, visible_rows
from tests.proof.model.world import Actor, Steps, World

SOURCE = "/herald"
PAGES_AHEAD = 3
HELD = 0.15  # of the keys in a page, so many are crowded
CLUSTER = "kafka"

_encode = msgspec.json.encode
_headers = make_headers(SOURCE)


class TermEndError(Exception):
    """The term ends, and another may begin."""


class Flying:
    """A page on its way: how many of its records are not settled."""

    __slots__ = ("cursor", "open")

    def __init__(self, cursor: Cursor, records: int) -> None:
        self.cursor, self.open = cursor, records

    def settle(self) -> None:
        self.open -= 1


class Relay:
    """One process: its term, and the scheduler in it."""

    def __init__(self, world: World, name: str, *, is_pooled: bool) -> None:
        self.world, self.name, self.is_pooled = world, name, is_pooled
        self.leads = False
        self.renew = False
        self.term = 0
        self.current: Term | None = None
        self.memory: Cursor | None = None  # what only a relay without the mechanism looks at
        self.session: Session | None = None
        self.actors: list[Actor] = []
        self.start()

    def start(self, rest: float = 0.0) -> None:
        self.memory = None
        self.actors = [self.world.start(self.name, self._run(), rest=rest)]

    def kill(self, rest: float) -> None:
        self.world.say("{} is killed", self.name)
        for actor in self.actors:
            self.world.stop(actor)
        self.start(rest)

    def sleep(self, seconds: float) -> None:
        """The process is frozen; the server ends its session, and another relay may lead."""
        self.world.say("{} is frozen for {} seconds", self.name, round(seconds))
        for actor in self.actors:
            actor.wake = max(actor.wake, self.world.clock + seconds)
        if self.session is not None:
            self.session.end()

    def _run(self) -> Steps:
        world = self.world
        while True:
            try:
                self.session = world.database.connect(is_pooled=self.is_pooled)
                yield from self._wait_for_lock(self.session)
                yield from self._lead(self.session)
            except (AwayError, TermEndError) as error:
                world.say("{}: the term ended: {}", self.name, error)
            finally:
                self.leads = False
                if self.session is not None:
                    self.session.end()
                    self.session.is_pooled = False
            yield 1.0

    def _wait_for_lock(self, session: Session) -> Steps:
        while True:
            session.check()
            if self.world.database.leader is None:
                self.world.database.leader = session
                return
            yield 2.5

    def _lead(self, session: Session) -> Steps:
        world = self.world
        cursor = _load(session)
        yield 0.0
        if cursor.system_identifier != world.database.system_identifier:
            message = "the cursor belongs to another cluster"
            raise TermEndError(message)
        leap = 1 + world.random.randrange(LEAP)
        cursor = self._save(session, replace(cursor, timeline=world.database.timeline, cluster_id=CLUSTER), leap=leap)
        world.database.terms += 1
        session.terms = world.database.terms
        world.say("{} leads from " + f"{cursor.previous} {cursor.target} {cursor.last_position}", self.name)
        if self.memory is not None and not world.has("stored cursor"):
            cursor = replace(self.memory, epoch=cursor.epoch, timeline=cursor.timeline)
        self.leads, self.renew = True, False
        self.term += 1
        yield 0.0
        duties = world.start(f"{self.name}'s scheduler", scheduler.duties(world, self))
        self.actors = [self.actors[0], duties]
        self.current = term = Term(self, session, cursor)
        try:
            yield from term.run()
        finally:
            self.current = None
            term.abandon()

    def _save(self, session: Session, cursor: Cursor, *, leap: int = 1) -> Cursor:
        saved = save_cursor(session, cursor, compares_epoch=self.world.has("epoch"), leap=leap)
        if saved is None:
            message = f"the cursor is no longer at epoch {cursor.epoch}"
            raise TermEndError(message)
        return saved

    def save(self, session: Session, cursor: Cursor) -> Cursor:
        self.memory = saved = self._save(session, cursor)
        return saved


class Term:
    """Reads ahead, publishes, saves what is settled: in any interleaving."""

    def __init__(self, relay: Relay, session: Session, cursor: Cursor) -> None:
        self._relay, self._world, self._session = relay, relay.world, session
        self._cursor = self._place = cursor
        self._producer = Producer(self._world.kafka, self._world.judge.landed)
        self._flying: deque[Flying] = deque()
        self._unsent: deque[tuple[reader.Row, Flying]] = deque()
        self._settled: Flying | None = None
        self._size = self._world.random.randint(1, 4)

    def run(self) -> Steps:
        random = self._world.random
        while not self._relay.renew:
            able: list[Callable[[], float]] = []
            if self._unsent:
                able.append(self._send)
            if len(self._producer):
                able.append(self._land)
            if self._settled is not None:
                able.append(self._save)
            if len(self._flying) < PAGES_AHEAD:
                able.append(self._read)
            rest = able[int(random.random() * len(able))]()
            yield 0.0 if len(able) > 1 else rest

    @property
    def is_unsaved(self) -> bool:
        """Whether it has something to save when it wakes."""
        return self._settled is not None

    def abandon(self) -> None:
        """What is in flight is dropped; the first records of it may arrive all the same."""
        count = self._world.random.randint(0, len(self._producer))
        if count:
            self._world.start("straggler", _straggle(self._producer, count), rest=self._world.random.uniform(0, 2))

    def _read(self) -> float:
        self._session.check()
        database, place = self._world.database, self._place
        target = place.target or database.snapshot()
        rows = sorted(visible_rows(database.state.to_publish, place), key=_position)[: self._size]
        page = reader.make_page(place, [_as_read(row) for row in rows], target, self._size)
        self._place = self._relay.memory = page.cursor
        if not page.rows and place.target is None:
            return self._world.random.uniform(0.5, 1.0)
        left = self._hold(page.rows)
        flying = Flying(page.cursor, len(left))
        self._flying.append(flying)
        self._unsent += [(row, flying) for row in left]
        self._settle()
        return 0.0

    def _hold(self, rows: list[reader.Row]) -> list[reader.Row]:
        """Of any keys, for the product chooses by what it has published of them; and whatever is behind one in line."""
        random, messages = self._world.random, self._world.database.state.messages.values()
        keys = {row[4] for row in rows if random.random() < HELD}
        if self._world.has("line"):
            keys |= {one.key for one in messages if one.key is not None and statements.is_before(one)}
        first = [row for row in rows if row[4] in keys and row[7] == "1" and row[2] == Requested.TYPE]
        held = statements.hold(self._session.begin(), self._world.clock, [UUID(row[0]) for row in first])
        self._session.commit()
        return [row for row in rows if not (row in first and UUID(row[0]) in held)]

    def _send(self) -> float:
        row, flying = self._unsent.popleft()
        self._producer.produce(row[3], _as_record(row), flying.settle)
        return 0.0

    def _land(self) -> float:
        try:
            self._producer.land()
        except KafkaAwayError:
            if self._world.random.random() < 0.2:
                message = "Kafka did not take a record"
                raise TermEndError(message) from None
            return 0.5
        self._settle()
        return 0.0

    def _settle(self) -> None:
        while self._flying and self._flying[0].open == 0:
            self._settled = self._flying.popleft()

    def _save(self) -> float:
        if self._settled is not None:
            self._cursor = self._relay.save(self._session, reader.with_epoch(self._settled.cursor, self._cursor.epoch))
            self._settled = None
        return 0.0


def _position(row: Row) -> int:
    return row.position


def _straggle(producer: Producer, count: int) -> Steps:
    for _ in range(count):
        try:
            producer.land()
        except KafkaAwayError:
            return
        yield 0.0


def _load(session: Session) -> Cursor:
    transaction = session.begin()
    found = transaction.state.cursor
    if found is None:
        database = session.database
        found = Cursor("1:1:", None, 0, 0, 0, database.system_identifier, database.timeline, None)
        transaction.change.cursor = found
        _ = transaction.id
    session.commit()
    return found


def _as_read(row: Row) -> reader.Row:
    asked = row.event if isinstance(row.event, Requested) else None
    payload = _encode(asked.data if asked else row.event).decode()
    return (
        str(row.stream),
        row.version,
        row.event.TYPE,
        row.topic or "",
        asked.key if asked else None,
        payload,
        "",
        str(asked.request) if asked else None,
        None,
        row.position,
    )


def _as_record(row: reader.Row) -> Sent:
    return Sent((row[5] or "").encode(), row[4], 0, _headers(row), (UUID(row[0]), int(row[7] or 0)))
