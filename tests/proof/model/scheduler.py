"""The scheduler of the relay that leads: what is due, what ended, what Kafka lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from herald.outbox.destination.policies import Policy
from herald.outbox.destination.retries import Retries
from herald.outbox.kafka.offsets import Offsets
from herald.outbox.message.state import Message
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.relay.cursor import LEAP, Cursor
from herald.outbox.scheduler import behind
from herald.outbox.scheduler.behind import Page
from herald.outbox.scheduler.deleted import deleted, remembered
from herald.outbox.scheduler.widths import Width, Widths, follow
from tests.proof.model import statements
from tests.proof.model.kafka import KafkaAwayError
from tests.proof.model.postgres import AwayError, Session, is_visible, waited
from tests.proof.model.world import TOPIC, Steps, World

if TYPE_CHECKING:
    from tests.proof.model.relay import Relay

LEASE = 8.0  # seconds
TIMEOUT = 2.0  # seconds of one call
TICK = 1.0  # seconds; the product looks more often, which makes a run longer and not richer
WATCH, SWEEP = 3, 5  # ticks
CONSUMED = (TOPIC,)


def policy(destination: str | None) -> Policy:
    """Mail is repeated once when its outcome is not known and then held for a person, everything else repeated."""
    return Policy(
        timeout=TIMEOUT,
        concurrency=8,
        destination_concurrency=8,
        retries=Retries(base=1.0, cap=4.0, attempts=3),
        unknown="once" if destination == "mail" else "retry",
    )


def duties(world: World, relay: Relay) -> Steps:
    """Each in its turn, one statement a step, until the term is over; what fails is tried again at its next turn."""
    session: Session | None = None
    tick, term = 0, relay.term
    try:
        while relay.leads and relay.term == term:
            for duty in _due(tick):
                try:
                    session = session if session and session.is_alive else world.database.connect()
                    yield from duty(world, relay, session)
                except (AwayError, KafkaAwayError):
                    if session is not None:
                        session.end()
                yield 0.0
            tick += 1
            yield TICK * world.random.uniform(0.5, 1.5)
    finally:
        if session is not None:
            session.end()


def _due(tick: int) -> list[Callable[[World, Relay, Session], Steps]]:
    found: list[Callable[[World, Relay, Session], Steps]] = [_statements, _note_page]
    if tick % WATCH == 0:
        found.insert(0, _watch_topics)
    if tick % SWEEP == SWEEP - 1:
        found.append(_request_lost)
    return found


def _statements(world: World, _relay: Relay, session: Session) -> Steps:
    for act in (_settle, _expire, _request_due, _request_next):
        if act(world, session):
            session.commit()
            yield 0.0


def _settle(world: World, session: Session) -> int:
    return statements.settle_leases(session.begin(), world.clock, policy, waits=world.has("lease"))


def _expire(world: World, session: Session) -> int:
    return statements.expire(session.begin(), world.clock)


def _request_due(world: World, session: Session) -> int:
    return statements.request_due(session.begin(), world.clock)


def _request_next(world: World, session: Session) -> int:
    """Up to any place in line of each key, for the product chooses by shares; what the cursor has not passed waits."""
    ages = (0, 0, 3, 10)
    random, last, transaction = world.random, dict[str | None, datetime](), session.begin()
    cursor = transaction.state.cursor
    coming = {
        row.stream
        for row in transaction.state.to_publish
        if cursor and row.position > cursor.floor and not is_visible(row.transaction_id, cursor.previous)
    }

    def is_next(message: Message) -> bool:
        until = last.setdefault(message.key, statements.date(world.clock - random.choice(ages)))
        return message.accepted_at <= until and (message.id not in coming or not world.has("passed"))

    return statements.request_next(transaction, world.clock, is_next)


def _note_page(world: World, _relay: Relay, session: Session) -> Steps:
    """The product looks as often only at what is new; it looks every ten seconds at what it has noted."""
    state = session.begin().state
    session.commit()
    stored, known, noted = state.cursor, state.widths, {page.epoch: page.end_offsets for page in state.pages}
    if stored is None or stored.epoch < max(noted, default=-1):
        return
    yield 0.0
    told = world.kafka.ends(CONSUMED)
    found = {name: len(numbers) for name, numbers in told.items()}
    widths = {**known, **widths_of(world, known, found, stored.previous)}
    if widths != known:
        yield 0.0
        _change(session, widths=widths)
    before = noted.get(stored.epoch, {})
    ends = {name: {**told.get(name, {}), **before.get(name, {})} for name in told | before}
    if ends != before:
        yield 0.0
        pages = [page for page in session.begin().state.pages if page.epoch != stored.epoch]
        _change(session, pages=[*pages, Page(stored.epoch, stored.previous, ends)])


def widths_of(world: World, stored: Widths, found: dict[str, int], snapshot: str) -> Widths:
    """What the product makes of them; without the mechanism, as if there never had been others."""
    if not world.has("widths"):
        return {name: Width(partitions) for name, partitions in found.items()}
    return follow(stored, found, snapshot=snapshot, at=world.clock)


def _request_lost(world: World, _relay: Relay, session: Session) -> Steps:
    first = world.kafka.first(CONSUMED)
    yield 0.0
    committed = world.kafka.read_committed()
    yield 0.0
    ends = world.kafka.ends(CONSUMED)
    yield 0.0
    standing = behind.standing_of(committed, first if world.has("log start") else _zero(first), ends)
    if not world.has("behind the consumer"):
        standing = standing._replace(read=ends)
    state = session.begin().state
    session.commit()
    cursor, found = state.cursor, {name: len(numbers) for name, numbers in ends.items()}
    if cursor is None:
        return
    widths = widths_of(world, state.widths, found, cursor.previous)
    passed = behind.Behind(state.pages, standing, widths)
    yield 0.0
    if passed.oldest_needed is not None:
        oldest = passed.oldest_needed
        _change(session, pages=[page for page in session.begin().state.pages if page.epoch >= oldest])
    yield 0.0
    _again(world, session, lambda one: passed.has(one.topic, one.key, one.requested_in), "lost")


def _zero(offsets: Offsets) -> Offsets:
    return {topic: dict.fromkeys(numbers, 0) for topic, numbers in offsets.items()}


def _watch_topics(world: World, relay: Relay, session: Session) -> Steps:
    world.kafka.check()
    world.kafka.make_topics()
    yield 0.0
    found = world.kafka.topic_ids()
    yield 0.0
    stored = session.begin().state.topic_ids
    session.commit()
    if found == stored:
        return
    gone = deleted(stored, found)
    for name in gone:
        yield 0.0
        _request_topic(world, session, name)
    if gone:
        yield 0.0
        pages = session.begin().state.pages
        _change(session, pages=[page._replace(end_offsets=_without(page.end_offsets, gone)) for page in pages])
    yield 0.0
    _change(session, topic_ids=remembered(stored, found))
    relay.renew = bool(gone)


def _without(ends: Offsets, topics: list[str]) -> Offsets:
    return {topic: numbers for topic, numbers in ends.items() if topic not in topics}


def _request_topic(world: World, session: Session, name: str) -> None:
    cursor = session.begin().state.cursor
    if cursor is not None and name != DEAD_LETTERS:
        _again(
            world,
            session,
            lambda one: one.topic == name and is_visible(one.requested_in, cursor.previous),
            "topic deleted",
        )


def _change(session: Session, **changes: Any) -> None:
    transaction = session.begin()
    for name, value in changes.items():
        setattr(transaction.change, name, value)
    _ = transaction.id
    session.commit()


def _again(world: World, session: Session, choice: Callable[[Message], bool], cause: Any) -> None:
    def is_chosen(message: Message) -> bool:
        return message.status == "pending" and choice(message)

    statements.request_again(session.begin(), world.clock, is_chosen, cause)
    session.commit()


def rebase(world: World) -> Steps:
    """The operator's command after a restore: once no relay leads, begin anew above everything stored."""
    database = world.database
    while True:
        yield 2.0
        cursor = database.state.cursor
        if cursor is None or cursor.system_identifier == database.system_identifier or database.is_away:
            continue
        session = database.connect()
        with contextlib.suppress(AwayError):
            while database.leader is not None:
                yield 0.5
            session.check()
            database.leader = session
            yield from _rebase(world, session, cursor)
        session.end()


def _rebase(world: World, session: Session, cursor: Cursor) -> Steps:
    database, transaction = world.database, session.begin()
    world.say("rebases in transaction {}", transaction.id)  # the cursor is its first write, which gives it its id
    transaction.change.cursor = replace(
        cursor,
        previous=database.snapshot(),
        target=None,
        last_position=0,
        floor=max((row.position for row in transaction.state.rows), default=0),
        epoch=cursor.epoch + 1 + world.random.randrange(LEAP),
        system_identifier=database.system_identifier,
        timeline=database.timeline,
    )
    transaction.change.topic_ids, transaction.change.pages, transaction.change.widths = {}, [], {}
    yield 0.0

    def is_chosen(one: Message) -> bool:
        return one.status == "pending"

    yield from waited(lambda: statements.request_again(session.begin(), world.clock, is_chosen, "lost", waits=True))
    yield 0.0
    world.judge.is_rebasing = True
    session.commit()
    world.judge.is_rebasing = False
    world.say("rebased")
