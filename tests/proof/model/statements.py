"""What Herald's SQL does to the modelled tables, statement by statement; test_pinned.py compares it with the SQL.

Every statement takes the transaction first and the database's clock, in seconds, second. State comes from the
real `evolve`. Left out, and absent in the model: pauses, breakers, priorities, strict and busy destinations.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from herald.outbox.destination.policies import Policy
from herald.outbox.message.events import (
    Adopted,
    Cancelled,
    Carried,
    Cause,
    Code,
    DeadLettered,
    Discarded,
    Edited,
    Event,
    Expired,
    Failed,
    Late,
    OutcomeUnknown,
    Postponed,
    Recorded,
    Recovered,
    Requested,
    Scheduled,
    Sent,
    Started,
)
from herald.outbox.message.state import Message, evolve
from herald.outbox.moves.claim import BEHIND_WAIT, MOST_BEHIND_WAIT, REASONS, Claim, Record
from herald.outbox.moves.record import Outcome
from herald.outbox.registry import DEAD_LETTERS
from tests.proof.model.postgres import Transaction

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NO_OUTCOME, LEASE_ENDED = "no outcome before the lease ended", "lease_ended"


class Draft(NamedTuple):
    """What somebody asks for; dates in seconds of the model's clock."""

    id: UUID
    topic: str
    key: str | None
    data: Any
    deliver_at: float | None = None
    deliver_by: float | None = None


class Found(NamedTuple):
    """A message that came from Kafka: `version` and `request` where Herald itself had written it."""

    id: UUID
    topic: str
    key: str | None
    data: Any
    source: str = ""
    version: int = 1
    request: int = 1


# After one of these an attempt may have reached somebody.
TRIED = (Sent, Failed, OutcomeUnknown, DeadLettered, Late, Carried)


def date(at: float) -> datetime:
    return BEGINNING + timedelta(seconds=at)


def append(transaction: Transaction, at: float, stream: UUID, event: Event, topic: str | None = None) -> Message:
    state = transaction.find(stream)
    version = state.version + 1 if state else 1
    return _append(transaction, at, state, Recorded(**_place(transaction, at, stream, version), event=event), topic)


def _append(
    transaction: Transaction, at: float, state: Message | None, recorded: Recorded, topic: str | None
) -> Message:
    transaction.lock(recorded.stream_id)
    after = evolve(state, recorded)
    transaction.write(after, recorded.event, topic, at)
    return after


def _place(transaction: Transaction, at: float, stream: UUID, version: int) -> dict[str, Any]:
    return {"stream_id": stream, "version": version, "transaction_id": transaction.id, "recorded_at": date(at)}


def accept(transaction: Transaction, at: float, drafts: Iterable[Draft]) -> int:
    for draft in drafts:
        last = None if draft.deliver_by is None else date(draft.deliver_by)
        if draft.deliver_at is not None and draft.deliver_at > at:
            later = date(draft.deliver_at)
            scheduled = Scheduled(topic=draft.topic, key=draft.key, data=draft.data, due_at=later, deliver_by=last)
            append(transaction, at, draft.id, scheduled)
            continue
        asked = _requested(draft.topic, draft.key, draft.data, 1, "accepted")
        if last is not None:
            asked = Requested(**{**_fields(asked), "deliver_by": last})
        append(transaction, at, draft.id, asked, draft.topic)
    return transaction.id


def claim(
    transaction: Transaction, at: float, records: Sequence[Record], *, lease: float, fits_request: bool = True
) -> dict[UUID, Claim]:
    """Raises BlockedError before anything is changed."""
    asked = {record.id: record for record in records}
    fitting = [message for message in map(transaction.find, sorted(asked)) if message and message.status == "pending"]
    for message in fitting:
        transaction.lock(message.id)
    fitting = [message for message in fitting if not fits_request or message.request == asked[message.id].request]
    fitting = [message for message in fitting if message.deliver_by is None or message.deliver_by > date(at)]
    beside = {message.id for message in fitting}
    won: dict[UUID, Claim] = {}
    held: dict[tuple[str, str, str | None], tuple[datetime, Code]] = {}
    for message in sorted(fitting, key=lambda one: (one.accepted_at, one.id)):
        destination = asked[message.id].destination
        lane = None if message.key is None else (message.topic, message.key, destination)
        until = _until(transaction, at, message, destination, beside) if lane is not None else None
        if lane is not None and (until or lane in held):
            if until:
                held[lane] = _longer(until, held.get(lane, until))
            due_at, code = until or (held[lane][0] + MICROSECOND, held[lane][1])
            waits = Postponed(reason=REASONS[code], code=code, due_at=due_at, destination=destination)
            append(transaction, at, message.id, waits)
            continue
        attempt = message.attempts + 1
        started = Started(attempt=attempt, lease_until=date(at + lease), destination=destination)
        append(transaction, at, message.id, started)
        won[message.id] = Claim(attempt, message.uncounted, is_probe=False, unknowns=message.unknowns)
    return won


def _longer(one: tuple[datetime, Code], other: tuple[datetime, Code]) -> tuple[datetime, Code]:
    """The later date; in line as soon as one is."""
    return max(one[0], other[0]), "queued" if "queued" in {one[1], other[1]} else "behind"


def is_in_line(message: Message) -> bool:
    """Whether it is requested in its turn."""
    return message.status == "scheduled" and message.reason_code == "queued"


def is_before(message: Message) -> bool:
    """Whether it is in line, or had its turn and was not claimed since: nothing of its key is published past it."""
    return is_in_line(message) or (message.status == "pending" and message.request > 1 and message.destination is None)


def _until(
    transaction: Transaction, at: float, message: Message, destination: str | None, beside: Iterable[UUID]
) -> tuple[datetime, Code] | None:
    """Until when it waits for an earlier one of its key, never tried so far, that is delayed; and why."""
    before = [
        one
        for one in _all(transaction)
        if one.key == message.key
        and one.topic == message.topic
        and one.request > 0
        and one.attempts == one.uncounted
        and one.destination in {None, destination}
        and (one.accepted_at, one.id) < (message.accepted_at, message.id)
        and (one.status in {"scheduled", "failed"} or (one.request > 1 and one.status in {"pending", "sending"}))
        and one.id not in beside
    ]
    if not before:
        return None
    last = max(before, key=lambda one: (one.accepted_at, one.id))
    if is_in_line(last):
        return message.accepted_at, "queued"
    if last.status == "scheduled" and last.due_at:
        return max(last.due_at + MICROSECOND, date(at)), "behind"
    stood = (date(at) - last.updated_at).total_seconds()
    return date(at + min(MOST_BEHIND_WAIT, max(BEHIND_WAIT, stood / 10))), "behind"


def _all(transaction: Transaction) -> Iterable[Message]:
    return {**transaction.state.messages, **transaction.change.messages}.values()


def record_outcomes(transaction: Transaction, at: float, outcomes: Sequence[Outcome]) -> None:
    """Raises BlockedError before anything is changed."""
    known = [(one, state) for one in outcomes if (state := transaction.find(one.id))]
    for one, _ in known:
        transaction.lock(one.id)
    for outcome, state in known:
        is_open = state.status == "sending"
        is_good = outcome.outcome == "sent" and state.status in {"pending", "failed", "unknown"}
        counts = state.attempts == outcome.attempt and (is_open or is_good)
        event = _outcome(outcome, at) if counts else _late(outcome)
        append(transaction, at, state.id, event, DEAD_LETTERS if isinstance(event, DeadLettered) else None)


def _late(outcome: Outcome) -> Late:
    return Late(attempt=outcome.attempt, outcome=outcome.outcome, reason=outcome.reason)


def _outcome(outcome: Outcome, at: float) -> Event:
    attempt, reason, code = outcome.attempt, outcome.reason or "", outcome.code
    due_at = None if outcome.retry_in is None else date(at + outcome.retry_in)
    match outcome.outcome:
        case "sent":
            return Sent(attempt=attempt)
        case "dead":
            return DeadLettered(attempt=attempt, reason=reason, code=code)
        case "unknown":
            return OutcomeUnknown(attempt=attempt, reason=reason, code=code, due_at=due_at)
        case "postponed":
            return Postponed(reason=reason, code=code, due_at=due_at or date(at), attempt=attempt)
        case "failed":
            return Failed(attempt=attempt, reason=reason, code=code, due_at=due_at or date(at))


def settle_leases(
    transaction: Transaction, at: float, policies: Callable[[str | None], Policy], *, waits: bool = True
) -> int:
    """What ended without an outcome; what another transaction has is skipped, as with SKIP LOCKED."""
    ended = [one for one in _all(transaction) if one.status == "sending" and (not waits or _is_due(one, at))]
    for message in sorted(ended, key=lambda one: one.id):
        if transaction.is_locked_elsewhere(message.id):
            continue
        policy, tries = policies(message.destination), message.attempts - message.uncounted
        most = policy.retries.attempts
        if policy.is_held(unknowns=message.unknowns, tries=tries):
            append(
                transaction,
                at,
                message.id,
                OutcomeUnknown(attempt=message.attempts, reason=NO_OUTCOME, code=LEASE_ENDED),
            )
        elif tries >= most:
            reason = f"{NO_OUTCOME} (attempt {tries} of {most})"
            dead = DeadLettered(attempt=message.attempts, reason=reason, code=LEASE_ENDED)
            append(transaction, at, message.id, dead, DEAD_LETTERS)
        else:
            unknown = OutcomeUnknown(attempt=message.attempts, reason=NO_OUTCOME, code=LEASE_ENDED, due_at=date(at))
            append(transaction, at, message.id, unknown)
    return len(ended)


def _is_due(message: Message, at: float) -> bool:
    return message.due_at is not None and message.due_at <= date(at)


def request_due(transaction: Transaction, at: float) -> int:
    def is_due(message: Message) -> bool:
        return message.status in {"scheduled", "failed"} and _is_due(message, at) and not is_in_line(message)

    return request_again(transaction, at, is_due, None)


def hold(transaction: Transaction, at: float, ids: Sequence[UUID]) -> set[UUID]:
    """What is pending for the first time, and nobody else has, stands in line; returns what is not to be published."""
    left: set[UUID] = set()
    for message, found in [(one, found) for one in ids if (found := transaction.find(one))]:
        if found.status != "pending" or found.request > 1:
            left.add(message)
        elif not transaction.is_locked_elsewhere(message):
            due_at = found.accepted_at
            append(transaction, at, message, Postponed(reason=REASONS["queued"], code="queued", due_at=due_at))
            left.add(message)
    return left


def request_next(transaction: Transaction, at: float, is_next: Callable[[Message], bool] = lambda _: True) -> int:
    """Those in line that have their turn."""

    def has_turn(message: Message) -> bool:
        return is_in_line(message) and _is_due(message, at) and is_next(message)

    return request_again(transaction, at, has_turn, "postponed")


def request_again(
    transaction: Transaction, at: float, choice: Callable[[Message], bool], cause: Cause | None, *, waits: bool = False
) -> int:
    """Every chosen message that nobody has locked; the cause is that of what is due where it is None.

    Raises BlockedError where it `waits` for the others, before anything is changed.
    """
    chosen = [one for one in _all(transaction) if choice(one)]
    if waits:
        for message in chosen:
            transaction.lock(message.id)
    chosen = [one for one in chosen if not transaction.is_locked_elsewhere(one.id)]
    chosen.sort(key=lambda one: (-one.priority, one.due_at or BEGINNING, one.accepted_at, one.id))
    for message in chosen:
        due: Cause = "retry" if message.status == "failed" else "postponed" if message.request else "scheduled"
        event = _requested_again(message, cause or due)
        append(transaction, at, message.id, event, message.topic)
    return len(chosen)


def _requested(topic: str, key: str | None, data: Any, request: int, cause: Cause) -> Requested:
    return Requested(topic=topic, key=key, data=data, request=request, cause=cause)


def _requested_again(message: Message, cause: Cause) -> Requested:
    """It names the event that has the data; what the relay would read there, it has with it."""
    again = _requested(message.topic, message.key, message.data, message.request + 1, cause)
    return msgspec.structs.replace(again, data_version=message.data_version)


def _fields(event: Requested) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def expire(transaction: Transaction, at: float) -> int:
    now = date(at)
    over = [one for one in _all(transaction) if one.deliver_by is not None and one.deliver_by <= now]
    for message in over:
        if message.status in {"scheduled", "pending", "failed"} and not transaction.is_locked_elsewhere(message.id):
            append(transaction, at, message.id, Expired(deliver_by=message.deliver_by or now))
    return len(over)


def cancel(transaction: Transaction, at: float, stream: UUID) -> str | None:
    """Where it stands afterwards. Raises BlockedError."""
    found = transaction.find(stream)
    if found is None:
        return None
    transaction.lock(stream)
    may_reach = found.attempts > 0 and (found.attempts > found.uncounted or _was_tried(transaction, stream))
    if not may_reach and found.status in {"scheduled", "pending"}:
        return append(transaction, at, stream, Cancelled()).status
    return found.status


def _was_tried(transaction: Transaction, stream: UUID) -> bool:
    rows = (*transaction.state.rows, *transaction.change.rows)
    return any(row.stream == stream and isinstance(row.event, TRIED) for row in rows)


def requeue(transaction: Transaction, at: float, stream: UUID, *, edit: Any = None) -> bool:
    """A person tries again. Raises BlockedError."""
    found = transaction.find(stream)
    if found is None or found.status not in {"dead", "unknown"}:
        return False
    transaction.lock(stream)
    if edit is not None:
        found = append(transaction, at, stream, Edited(key=found.key, data=edit))
    append(transaction, at, stream, _requested_again(found, "requeued"), found.topic)
    return True


def discard(transaction: Transaction, at: float, stream: UUID, *, reason: str) -> bool:
    """A person gives it up. Raises BlockedError."""
    found = transaction.find(stream)
    if found is None or found.status not in {"dead", "unknown"}:
        return False
    transaction.lock(stream)
    append(transaction, at, stream, Discarded(reason=reason, code="discarded_by_person"))
    return True


def adopt(transaction: Transaction, at: float, found: Sequence[Found]) -> None:
    """Raises BlockedError while another transaction adopts the same."""
    _open(transaction, at, found, lambda one: Adopted(topic=one.topic, key=one.key, data=one.data, source=one.source))


def recover(transaction: Transaction, at: float, lost: Sequence[Found]) -> None:
    """Raises BlockedError while another transaction recovers the same."""
    _open(
        transaction,
        at,
        lost,
        lambda one: Recovered(topic=one.topic, key=one.key, data=one.data, request=one.request),
    )


def _open(transaction: Transaction, at: float, found: Sequence[Found], opening: Callable[[Found], Event]) -> None:
    new = [one for one in found if transaction.find(one.id) is None]
    for one in new:
        transaction.lock(one.id)
    for one in new:
        place = _place(transaction, at, one.id, one.version)
        _append(transaction, at, None, Recorded(**place, event=opening(one)), None)


def unknown(transaction: Transaction, ids: Iterable[UUID]) -> set[UUID]:
    """Which of these the database has never heard of."""
    return {one for one in ids if transaction.find(one) is None}
