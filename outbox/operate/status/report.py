"""`herald status`: asks both servers and prints what they say, for a person or for a program."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import rich_click as click
from confluent_kafka import KafkaException
from rich.text import Text

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, explanation, make_admin
from herald.outbox.kafka.offsets import partitions_of, read_committed, read_end_offsets
from herald.outbox.kafka.owner import find_owner
from herald.outbox.kafka.topics import names
from herald.outbox.message.state import FINAL
from herald.outbox.operate.opening import answering
from herald.outbox.operate.shown import day_and_time, duration, named, show, size
from herald.outbox.operate.status.database import Answer, Row, read_database
from herald.outbox.postgres.instance import default_group
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.settings import Settings

Database = Mapping[str, Answer]
Told = Iterator[tuple[str, str | Text]]


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, as_json: bool) -> None:
    """Show where everything stands: database, messages, relay, Kafka.

    Reads DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS; changes nothing. The exit code is 1 when one of the two
    cannot be reached. `herald up` writes both to its data folder: `source .herald/env`.
    """
    with answering() as settings:
        database = read_database(settings)
        known = database["instance"].row.get("id")
        own = settings.of_instance(known, group=default_group(known)) if known else settings
        kafka = read_kafka(own)
    if as_json:
        click.echo(json.dumps(machine_form(database, kafka), default=str))
    else:
        show(named([*_database(database), *_kafka(kafka, own.instance)]))
    raise SystemExit(1 if database["database"].error or kafka["error"] else 0)


def machine_form(database: Database, kafka: Row) -> dict[str, Any]:
    """Return all of it for a program: times in seconds, `error` null where an answer came."""
    messages = database["messages"]
    return {
        "database": _row(database["database"]),
        "migration": {"revision": None, **_row(database["migration"])},
        "messages": {
            "by_status": {row["status"]: row["count"] for row in messages.rows},
            "oldest_unfinished_seconds": oldest_unfinished(messages),
            "error": messages.error,
        },
        "partitions": _row(database["partitions"]),
        "relay": _row(database["relay"]),
        **{name: {"items": database[name].rows, "error": database[name].error} for name in SEVERAL},
        "kafka": kafka,
    }


def _row(answer: Answer) -> Row:
    return {**answer.row, "error": answer.error}


def _database(database: Database) -> Told:
    """Each part for a person; nothing but the reason where there is no database."""
    for question, (name, render) in ONE.items():
        answer = database[question]
        yield name, _bad(answer.error) if answer.error else render(answer)
        if database["database"].error:
            return
    for question, (name, render_row) in SEVERAL.items():
        answer = database[question]
        if answer.error:
            yield name, _bad(answer.error)
        yield from ((name, Text(render_row(row), style="yellow")) for row in answer.rows)


def _kafka(kafka: Row, instance: str) -> Told:
    if kafka["error"]:
        yield "kafka", _bad(kafka["error"])
        return
    yield "kafka", f"{kafka['brokers']} broker(s), group {kafka['group']}"
    yield "", _owner(kafka["owner"], kafka["owner_error"], instance)
    for name, topic in kafka["topics"].items():
        behind = "" if topic["lag"] is None else f", {topic['lag']:,} behind"
        yield "", f"{name}: {topic['partitions']} partition(s), {topic['records']:,} record(s){behind}"


def oldest_unfinished(messages: Answer) -> float | None:
    """Return the age in seconds of the oldest message that is neither delivered nor given up."""
    ages = [row["oldest_seconds"] for row in messages.rows if row["status"] not in FINAL]
    return max(ages, default=None)


def _server(answer: Answer) -> str:
    standby = ", a standby" if answer.row["is_standby"] else ""
    return f"{answer.row['name']} on PostgreSQL {answer.row['version']}{standby}"


def _messages(answer: Answer) -> str:
    counts = ", ".join(f"{row['count']:,} {row['status']}" for row in answer.rows) or "none"
    age = oldest_unfinished(answer)
    return counts if age is None else f"{counts}; the oldest unfinished waits for {duration(age)}"


def _partitions(answer: Answer) -> str:
    if not answer.rows:
        return "none"
    row = answer.row
    sizes = f"outbox {size(row['outbox_bytes'])}, messages {size(row['messages_bytes'])}"
    due = f"; {row['due']} due" + (f", waits for {row['waits_for']}" if row["waits_for"] else "") if row["due"] else ""
    return f"{row['count']} partitions each, the oldest until {row['oldest_until']:%Y-%m-%d %H:%M}; {sizes}{due}"


def backlog(row: Row) -> str:
    """How far the relay is."""
    saved = duration(row["saved_seconds_ago"])
    return f"{row['backlog']:,} to publish; cursor at epoch {row['epoch']}, saved {saved} ago"


def _breaker(row: Row) -> str:
    return f"{row['destination']}{_because(row)}; tried again in {duration(max(row['probe_in_seconds'], 0))}"


def _pause(row: Row) -> str:
    return f"{row['scope']} since {day_and_time(row['paused_at'])}, by {row['actor'] or 'nobody known'}{_because(row)}"


def _withheld(row: Row) -> str:
    part = f"{row['topic']}, all of it" if row["partition"] < 0 else f"{row['topic']}, partition {row['partition']}"
    return f"{part}: {row['reason']} for {duration(row['withheld_seconds'])}, {row['waiting']:,} records wait"


def _because(row: Row) -> str:
    return f": {row['reason']}" if row["reason"] else ""


def _waiting(row: Row) -> str:
    waits = "1 message waits" if row["count"] == 1 else f"{row['count']:,} messages wait"
    return f"{waits}, the oldest for {duration(row['oldest_seconds'])}"


def _owner(owner: str | None, error: str | None, instance: str) -> str | Text:
    if error:
        return _bad(f"whose topics these are is not known: {error}")
    if owner is None:
        return "topics that no Herald has claimed"
    return f"topics of this Herald, {owner}" if owner == instance else _bad(f"topics of another Herald, {owner}")


def _bad(text: str) -> Text:
    return Text(text, style="red")


def read_kafka(settings: Settings) -> dict[str, Any]:
    """Ask Kafka; what it cannot answer within five seconds becomes the `error`, which says why the rest is empty.

    `owner` is the instance whose topics these are, None where nobody's or where `owner_error` says why it is not known.
    """
    told = {"brokers": 0, "group": settings.group, "owner": None, "owner_error": None, "topics": {}, "error": None}
    admin = make_admin(settings)
    try:
        metadata = admin.list_topics(timeout=ANSWER_TIMEOUT)
        partitions = partitions_of(metadata, names())
        ends, committed = read_end_offsets(admin, partitions), read_committed(settings, partitions)
    except KafkaException as error:
        return {**told, "error": explanation(error)}
    told["brokers"] = len(metadata.brokers)
    told["topics"] = {name: _topic(name, ends[name], committed.get(name, {})) for name in names() if name in ends}
    try:
        told["owner"] = find_owner(settings, admin)
    except KafkaException as error:
        told["owner_error"] = explanation(error)
    return told


def _topic(name: str, ends: Mapping[str, int], committed: Mapping[str, int]) -> dict[str, int | None]:
    """`records` is the sum of the end offsets; `lag` is None where the group has no part in it."""
    behind = sum(end - committed.get(partition, 0) for partition, end in ends.items())
    return {"partitions": len(ends), "records": sum(ends.values()), "lag": behind if name != DEAD_LETTERS else None}


# By the question: what each part is called, and how its answer reads; below, how each of its rows does.
ONE: dict[str, tuple[str, Callable[[Answer], str]]] = {
    "database": ("database", _server),
    "migration": ("migration", lambda answer: str(answer.row.get("revision", "none"))),
    "messages": ("messages", _messages),
    "partitions": ("tables", _partitions),
    "relay": ("relay", lambda answer: backlog(answer.row) if answer.rows else "has not run yet"),
}
SEVERAL: dict[str, tuple[str, Callable[[Row], str]]] = {
    "pauses": ("paused", _pause),
    "open_breakers": ("failing", _breaker),
    "set_aside": ("set aside", "{count:,} {reason}, the newest {newest}: {error}".format_map),
    "without_consumer": ("no consumer", lambda row: f"{row['topic']}: {_waiting(row)}"),
    "withheld": ("withheld", _withheld),
    "in_line": ("in line", lambda row: f"{row['line']}: {_waiting(row)}"),
    "untried": ("untried", lambda row: f"{_waiting(row)}: {row['reason']}"),
}
