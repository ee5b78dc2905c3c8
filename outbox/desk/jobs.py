"""Requeuing many: a job in the database that the scheduler works off at a rate.

Only what was on the desk when the job was made takes part: what dies again is not requeued for ever. A
step and its progress are one transaction, so a crash repeats nothing and skips nothing. A step begins where the
one before ended: looking again at what does not fit took a second of each step, with 100,000 dead letters.
"""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
import structlog
from uuid_utils.compat import uuid7

from herald.outbox.desk.filters import Filter
from herald.outbox.desk.looking import choose, count_dead_letters
from herald.outbox.moves.around import write_probe
from herald.outbox.moves.decide import requeue
from herald.outbox.postgres.conviction import narrow, text_of
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch_named, find_one

MOST_IN_A_STEP = 1_000  # messages
CATCH_UP = 2.0  # seconds of its rate that a job makes up for after a pause
_log = structlog.get_logger()
_COLUMNS = "id::text, filter, rate, requested_at, total, done, finished_at, is_stopped, actor"

_MAKE = f"""
INSERT INTO requeues (id, filter, rate, total, actor) VALUES (%s, %s::jsonb, %s, %s, %s) RETURNING {_COLUMNS}
"""


class _UndoneError(Exception):
    """A probe is never kept."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """`total` fitted when `actor` made it; `rate` is messages per second."""

    id: UUID
    filter: Filter
    rate: float
    requested_at: datetime
    total: int
    done: int
    finished_at: datetime | None
    status: Literal["running", "finished", "stopped"]
    actor: str | None


def make_job(connection: Connection, chosen: Filter, *, rate: float, actor: str | None = None) -> Job:
    """In the caller's transaction; the scheduler begins within a second."""
    total = count_dead_letters(connection, chosen)
    values = (str(uuid7()), msgspec.json.encode(chosen).decode(), rate, total, actor)
    return _jobs(connection, _MAKE, *values)[0]


def find_job(connection: Connection, job_id: UUID) -> Job | None:
    """One job, or None."""
    return next(iter(_jobs(connection, f"SELECT {_COLUMNS} FROM requeues WHERE id = %s", str(job_id))), None)


def list_jobs(connection: Connection, *, limit: int) -> list[Job]:
    """The newest first."""
    return _jobs(connection, f"SELECT {_COLUMNS} FROM requeues ORDER BY id DESC LIMIT %s", limit)


def stop_job(connection: Connection, job_id: UUID) -> Job | None:
    """End it where it stands; one that has ended stays as it is. None when there is none."""
    _jobs(
        connection,
        "UPDATE requeues SET is_stopped = true, finished_at = clock_timestamp()"
        f" WHERE id = %s AND finished_at IS NULL RETURNING {_COLUMNS}",
        str(job_id),
    )
    return find_job(connection, job_id)


# How many a job may requeue now: its rate times the time since its last step, of which a long pause counts little.
# Of several jobs chance chooses: in any order that only a step changes, one that always fails would stay the first.
_ALLOWED = "rate * extract(epoch FROM at - last_step_at)::float8"
_NEXT = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at)
SELECT id::text, filter, rate, requested_at, last_id::text, actor, at,
    least({_ALLOWED}, greatest(1, rate * {CATCH_UP}), {MOST_IN_A_STEP}) AS allowed
FROM requeues, clock
WHERE finished_at IS NULL AND {_ALLOWED} >= 1
ORDER BY random() LIMIT 1 FOR NO KEY UPDATE OF requeues SKIP LOCKED
"""

_PROGRESS = """
UPDATE requeues SET done = done + %(count)s, last_id = %(last_id)s,
    last_step_at = %(at)s - make_interval(secs => %(carried)s),
    finished_at = CASE WHEN %(is_last)s THEN clock_timestamp() END
WHERE id = %(id)s
"""


def step(connection: Connection) -> int:
    """Requeue what one job may by now, in the caller's transaction; returns how many.

    Of several jobs that go on at the same time, each keeps to its own rate.
    """
    row = find_one(connection, _NEXT)
    if row is None:
        return 0
    job_id, chosen, rate, requested_at, last_id, actor, at, allowed = row
    most = int(allowed)
    before, fits = requested_at.isoformat(), msgspec.convert(chosen, Filter)
    ids = choose(connection, fits, limit=most, before=before, after=UUID(last_id))
    count = _requeue_around(connection, ids, actor)
    carried = (allowed - most) / rate  # or a low rate would lose a part of a message at every step
    last = str(ids[-1]) if ids else last_id
    progress = {
        "id": job_id,
        "last_id": last,
        "count": count,
        "at": at,
        "carried": carried,
        "is_last": len(ids) < most,
    }
    execute(connection, _PROGRESS, progress)
    return count


def _requeue_around(connection: Connection, ids: Sequence[UUID], actor: str | None) -> int:
    """Requeue them; one for whose sake it fails stays on the desk, by name, and the job goes on behind it."""

    def act(some: Sequence[UUID]) -> int:
        with _savepoint(connection):
            return len(requeue(connection, some, actor=actor))

    def probe() -> None:
        with contextlib.suppress(_UndoneError), _savepoint(connection):
            write_probe(connection)
            raise _UndoneError

    found = narrow(ids, act, probe)
    if found.excused and not any(found.done):
        raise found.excused[0].error
    for suspect in [*found.convicted, *found.excused]:
        _log.error("requeue_refused", id=str(suspect.item), reason=text_of(suspect.error), exc_info=suspect.error)
    return sum(found.done)


@contextlib.contextmanager
def _savepoint(connection: Connection) -> Iterator[None]:
    """What fails within is undone, and the caller's transaction can go on."""
    execute(connection, "SAVEPOINT requeue")
    try:
        yield
    except BaseException:
        execute(connection, "ROLLBACK TO SAVEPOINT requeue")
        raise
    execute(connection, "RELEASE SAVEPOINT requeue")


def _jobs(connection: Connection, query: str, *values: object) -> list[Job]:
    return [_job(row) for row in fetch_named(connection, query, *values)]


def _job(row: dict[str, object]) -> Job:
    is_stopped, finished_at = row.pop("is_stopped"), row["finished_at"]
    status = "running" if finished_at is None else "stopped" if is_stopped else "finished"
    return msgspec.convert({**row, "status": status}, Job)
