"""Clients, the committers that answer them, and a person at the desk."""

import contextlib
from collections import deque
from collections.abc import Generator
from typing import Any, NamedTuple
from uuid import UUID

from herald.outbox.message.state import Message
from herald.outbox.postgres import commit as verdict
from tests.proof.model import statements
from tests.proof.model.judge import Promise
from tests.proof.model.postgres import AwayError, CommitUnknownError, Session, waited
from tests.proof.model.statements import Draft
from tests.proof.model.world import TOPIC, Steps, World

PATIENCE = 5.0  # seconds until an unanswered COMMIT counts as unknown
CLIENT_PATIENCE = 15.0  # seconds until a client gives up
KEYS = ("a", "b", None)
DESTINATIONS = ("log", "mail")


class Command(NamedTuple):
    """What one request asks for."""

    draft: Draft
    promise: Promise


def commit(world: World, session: Session) -> Generator[float, None, None]:
    """COMMIT, which may be cut before it is done, after it, or while the server is still at it."""
    transaction = session.transaction
    if transaction is None or not session.is_alive:
        raise CommitUnknownError(transaction.id if transaction else 0)
    if not world.chance(0.08):
        session.commit()
        return
    fate = world.random.choice(("lost", "done", "late"))
    world.say("COMMIT of transaction {} is not answered: " + fate, transaction.id)
    if fate == "done":
        session.commit()
    if fate == "late":
        world.start("server", _commit_later(session), rest=world.random.uniform(0, 3))
    else:
        session.end()
    yield 0.0
    raise CommitUnknownError(transaction.id)


def _commit_later(session: Session) -> Steps:
    yield 0.0
    if session.is_alive:
        session.commit()
        session.end()


def committer(world: World, queue: deque[Command]) -> Steps:
    """Takes whatever waits, writes it, commits, answers each."""
    session: Session | None = None
    commands: list[Command] = []
    try:
        while True:
            if not queue:
                yield world.random.uniform(0.3, 1.0)
                continue
            commands = [queue.popleft() for _ in range(min(len(queue), 3))]
            is_accepted = False
            try:
                session = session if session and session.is_alive else world.database.connect()
                is_accepted = yield from _written(world, session, commands)
            except AwayError:
                if session is not None:
                    session.end()
            _answer(world, commands, is_accepted=is_accepted)
            commands = []
            yield 0.0
    finally:
        if session is not None:
            session.end()
        for command in (*commands, *queue):  # the connection breaks
            _answer(world, [command], is_accepted=False)
        queue.clear()


def _answer(world: World, commands: list[Command], *, is_accepted: bool) -> None:
    for command in commands:
        if command.promise.answered is None:
            world.say("{} is answered " + ("202" if is_accepted else "503"), command.draft.id)
            world.judge.answered(command.promise, is_accepted=is_accepted)


def _written(world: World, session: Session, commands: list[Command]) -> Generator[float, None, bool]:
    transaction = session.begin()
    transaction_id = statements.accept(transaction, world.clock, [command.draft for command in commands])
    yield world.random.choice((0.0, 0.0, 0.3, 1.5))
    try:
        yield from commit(world, session)
    except CommitUnknownError:
        return (yield from _committed_after_all(world, transaction_id, commands[0].draft.id))
    return True


def _committed_after_all(world: World, transaction_id: int, first: UUID) -> Generator[float, None, bool]:
    deadline = world.clock + PATIENCE
    while world.clock < deadline:
        try:
            status: str | None = world.database.status(transaction_id)
            status = verdict.settled(status, is_stored=_is_stored(world, first, transaction_id))
        except AwayError:
            status = None
        if status in {"committed", "aborted"}:
            return status == "committed"
        yield 0.3
    return False


def _is_stored(world: World, first: UUID, transaction_id: int) -> bool:
    rows = world.database.state.rows
    return any(row.stream == first and row.version == 1 and row.transaction_id == transaction_id for row in rows)


def client(world: World, queues: list[deque[Command]], count: int) -> Steps:
    """Asks for one message after the other, waits for each answer, and takes some back."""
    for number in range(count):
        yield world.random.uniform(0, 6)
        draft = _draft(world, number)
        promise = world.judge.asked(draft.id, draft.key, is_later=draft.deliver_at is not None)
        world.say("a client asks for {} of key {}", draft.id, draft.key)
        world.random.choice(queues).append(Command(draft, promise))
        deadline = world.clock + CLIENT_PATIENCE
        while promise.answered is None and world.clock < deadline:
            yield 0.4
        if promise.answered is None:
            world.judge.answered(promise, is_accepted=False)
        if promise.is_accepted and world.chance(0.2):
            yield world.random.uniform(0, 2)
            yield from _cancel(world, draft.id)


def _draft(world: World, number: int) -> Draft:
    chance = world.random.random()
    later = world.clock + world.random.uniform(0, 10) if chance < 0.15 else None
    last = world.clock + world.random.uniform(5, 40) if chance > 0.85 else None
    data = {"n": number, "to": "mail" if world.random.random() < 0.25 else "log"}
    return Draft(world.new_id(), TOPIC, world.random.choice(KEYS), data, later, last)


def _cancel(world: World, message: UUID) -> Steps:
    try:
        session = world.database.connect()
    except AwayError:
        return
    try:
        standing = yield from waited(lambda: statements.cancel(session.begin(), world.clock, message))
        yield from commit(world, session)
        if standing == "cancelled":
            world.say("{} is answered cancelled", message)
            world.judge.cancelled(message)
    except AwayError:
        return
    finally:
        session.end()


def person(world: World) -> Steps:
    """Looks at the desk now and then: tries again, with other data or not, or gives up."""
    while True:
        yield world.random.uniform(4, 12)
        dead = [one for one in world.database.state.messages.values() if one.status in {"dead", "unknown"}]
        if not dead or not world.chance(0.8) or world.database.is_away:
            continue
        chosen, session = world.random.choice(dead), world.database.connect()
        with contextlib.suppress(AwayError):
            yield from _decide(world, session, chosen)
        session.end()


def _decide(world: World, session: Session, chosen: Message) -> Steps:
    if world.random.random() < 0.15:
        yield from waited(lambda: statements.discard(session.begin(), world.clock, chosen.id, reason="given up"))
    else:
        data: Any = chosen.data  # whatever was asked for; in the model a dict
        edit = {**data, "edit": world.steps} if world.random.random() < 0.6 else None
        world.say("a person tries {} again with {}", chosen.id, edit)
        yield from waited(lambda: statements.requeue(session.begin(), world.clock, chosen.id, edit=edit))
    session.commit()
