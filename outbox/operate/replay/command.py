"""`herald replay`, as an operator runs it."""

import threading
from contextlib import closing
from datetime import datetime

import rich_click as click

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, make_admin
from herald.outbox.kafka.owner import OwnedElsewhereError, refuse_others
from herald.outbox.kafka.topics import read_cluster_id
from herald.outbox.operate.opening import answering, date, stop_told
from herald.outbox.operate.replay.replaying import Choice, Replayer, Span, count_rows, find_span, read_rows
from herald.outbox.operate.shown import shown_steps
from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.instance import identified
from herald.outbox.postgres.statements import find_one
from herald.outbox.relay.errors import FatalProducerError, PublishError
from herald.outbox.relay.leadership import MEMORY_OF_A_PAGE
from herald.outbox.relay.reader import Limits
from herald.outbox.settings import Settings

TURNS = 10  # pages per second, where there is a rate
Rate = click.FloatRange(0, 1_000_000, min_open=True)


class ReplayError(Exception):
    """It cannot be done, or not to its end; the text says why."""


@click.command("replay")
@click.option("--topic", required=True, help="What was published on this topic.")
@click.option("--since", type=date, help="Only what was recorded at that time or later.")
@click.option("--until", type=date, help="Only what was recorded before that time.")
@click.option("--rate", type=Rate, help="Records per second at most.  [default: as fast as Kafka takes them]")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Count only; publish nothing.")
def command(
    *, topic: str, since: datetime | None, until: datetime | None, rate: float | None, is_dry_run: bool
) -> None:
    """Publish records of a topic again, as the log has them.

    Key, value and headers are those of the first time, `ce_id` included, in the same order. Herald's own pipeline
    drops them: they deliver nothing again. SIGTERM ends it after what is in flight.
    """
    if since is not None and until is not None and until <= since:
        raise click.UsageError("--until must come after --since")
    with answering(ReplayError, OwnedElsewhereError) as settings:
        choice = Choice(topic, since, until)
        click.echo(_replay(settings, choice, stop_told(), rate=rate, is_dry_run=is_dry_run))


def _replay(settings: Settings, choice: Choice, stop: threading.Event, *, rate: float | None, is_dry_run: bool) -> str:
    """Returns what was done. Raises ReplayError, and what its servers raise."""
    with closing(connect(settings, "herald-replay")) as connection, shown_steps() as steps:
        settings = identified(settings, connection)
        connection.rollback()
        span = find_span(connection)
        steps("counting")
        total = _count(connection, choice, span, stop)
        if is_dry_run:
            return f"{total:,} records of {choice.topic} would be published again; nothing was"
        _check_kafka(settings, connection, choice.topic, stop)
        replayer = Replayer(settings, rate=rate, stop=stop)
        size = settings.page_size if rate is None else max(1, min(settings.page_size, round(rate / TURNS)))
        try:
            limits = Limits(size, settings.memory // MEMORY_OF_A_PAGE)
            replayer.run(read_rows(connection, choice, span, limits=limits), steps("publishing", total=total))
        except (PublishError, FatalProducerError) as error:
            message = f"{error}; {_told(replayer, choice, total)}"
            raise ReplayError(message) from None
    return _result(replayer, choice, total)


def _count(connection: Connection, choice: Choice, span: Span, stop: threading.Event) -> int:
    total = 0
    for count in count_rows(connection, choice, span):
        total += count
        if stop.is_set():
            raise ReplayError("stopped while counting: nothing was published")
    return total


def _check_kafka(settings: Settings, connection: Connection, topic: str, stop: threading.Event) -> None:
    """It must answer, be the relay's, and have the topic. Raises ReplayError, OwnedElsewhereError, KafkaException."""
    row = find_one(connection, "SELECT cluster_id FROM relay_cursor WHERE cluster_id IS NOT NULL")
    connection.rollback()
    admin = make_admin(settings)
    topics, found = admin.list_topics(timeout=ANSWER_TIMEOUT).topics, read_cluster_id(admin)
    refuse_others(settings, admin, stop=stop)
    if row is not None and row[0] != found:
        message = f"this Kafka cluster is {found}, the relay's is {row[0]}: see `herald relay --rebase --moved`"
        raise ReplayError(message)
    if topic not in topics:
        message = f"Kafka has no topic {topic}"
        raise ReplayError(message)


def _result(replayer: Replayer, choice: Choice, total: int) -> str:
    """Raises ReplayError where not all were published."""
    told = _told(replayer, choice, total)
    if replayer.refused:
        row, reason = replayer.refused[0]
        message = f"{told}; Kafka refused {len(replayer.refused)}, the first {row[0]}.{row[1]}: {reason}"
        raise ReplayError(message)
    if replayer.published < total:
        message = f"stopped: {told}"
        raise ReplayError(message)
    return told


def _told(replayer: Replayer, choice: Choice, total: int) -> str:
    done = f"{replayer.published:,} of {total:,} records of {choice.topic} were published again"
    return done if replayer.last is None else f"{done}, the last one recorded at {replayer.last[6]}"
