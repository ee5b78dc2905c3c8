"""`herald rebuild`, as an operator runs it."""

import sys
from threading import Event

import msgspec
import rich_click as click

from herald.outbox.operate.opening import answering, end, stop_told
from herald.outbox.operate.rebuild.partitions import abandon_closing, find_pairs, remove_leftovers
from herald.outbox.operate.rebuild.rebuilding import Rebuilt, check_partition, mend_queues, rebuild_partition
from herald.outbox.operate.rebuild.session import RefusedError, Session, StoppedError, opened, run_stoppable
from herald.outbox.operate.shown import shown_steps
from herald.outbox.postgres.driver import PostgresError
from herald.outbox.postgres.log import UnknownEventError
from herald.outbox.settings import Settings
from herald.outbox.startup import NotMigratedError, UnreadableLogError, check_migrated

REFUSALS = (RefusedError, NotMigratedError, UnknownEventError, UnreadableLogError)


class Done(msgspec.Struct):
    """What came of it; `queues`: how many messages stood in a queue that is not theirs, or in none."""

    partitions: list[Rebuilt] = []
    queues: int = 0


@click.command("rebuild")
@click.option("--check", "is_check", is_flag=True, help="Compare only; the exit code is 1 where something differs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of sentences.")
def command(*, is_check: bool, as_json: bool) -> None:
    """Rebuild the table `messages` from the event log while traffic goes on.

    Each partition is built beside the live one, caught up, compared, and swapped under a short lock. What was wrong
    is told. Interrupted at any time, it changes nothing in the partition at hand; run it again.
    """
    done = Done()
    with answering() as settings:
        failure = _failure(settings, stop_told(), done, is_check=is_check)
    _tell(done, as_json=as_json)
    if failure:
        end(failure)
    sys.exit(1 if is_check and (done.queues or any(one.differences for one in done.partitions)) else 0)


def _failure(settings: Settings, stop: Event, done: Done, *, is_check: bool) -> str | None:
    """Do it; returns a sentence about what went wrong. The partitions that were `done` before stay so."""
    try:
        with opened(settings, stop) as session:
            run_stoppable(session, lambda: _work(session, done, is_check=is_check))
    except StoppedError:
        return "stopped: the partition at hand was not changed"
    except REFUSALS as error:
        return str(error)
    except ValueError as error:
        return f"the log cannot be folded: {error}"
    except PostgresError as error:
        return f"the database ended it: {str(error).strip()}; see `herald rebuild --check`"
    return None


def _work(session: Session, done: Done, *, is_check: bool) -> None:
    check_migrated(session.writer)
    if not is_check:
        abandon_closing(session.writer)
        remove_leftovers(session.writer)
    work = check_partition if is_check else rebuild_partition
    with shown_steps() as steps:
        done.partitions.extend(work(session, pair, steps) for pair in find_pairs(session.writer))
        steps("the queues")
        done.queues = mend_queues(session, is_check=is_check)


def _tell(done: Done, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(done).decode())
        return
    for one in done.partitions:
        click.echo(_sentence(one))
        for difference in one.differences:
            click.echo(f"  {difference}")
    if done.queues:
        click.echo(f"{done.queues:,} messages stood in a wrong queue")


def _sentence(one: Rebuilt) -> str:
    """How many, how fast, what was wrong."""
    rate = one.messages / one.folding_seconds if one.folding_seconds else 0.0
    wrong = sum(difference.messages for difference in one.differences)
    found = f"{wrong:,} differed" if wrong else "none differed"
    told = f"{one.partition}: {one.messages:,} messages folded at {rate:,.0f} per second, {found}"
    if one.swap is None:
        return told
    tries = "" if one.swap.tries == 1 else f" at try {one.swap.tries}"
    return f"{told}; swapped{tries} in {one.seconds:.1f} s, {one.swap.seconds * 1000:.0f} ms of it under the lock"
