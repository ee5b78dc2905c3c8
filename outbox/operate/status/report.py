"""`herald status`: asks both servers and prints what they say, for a person or for a program."""

import json
from collections.abc import Callable
from typing import Any

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from herald.outbox.message.state import FINAL
from herald.outbox.operate.status.database import Answer, DatabaseStatus, Row, read_database
from herald.outbox.operate.status.kafka import KafkaStatus, TopicStatus, read_kafka
from herald.outbox.postgres.instance import default_group
from herald.outbox.settings import Settings, SettingsError, load_settings


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(*, as_json: bool) -> None:
    """Show where everything stands: database, messages, relay, Kafka.

    Reads DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS; changes nothing. The exit code is 1 when one of the two
    cannot be reached. `herald up` writes both to its data folder: `source .herald/env`.
    """
    try:
        settings = load_settings()
    except SettingsError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from None
    database = read_database(settings)
    if known := database.instance.row.get("id"):
        settings = settings.of_instance(known, group=default_group(known))
    kafka = read_kafka(settings)
    if as_json:
        click.echo(json.dumps(machine_form(database, kafka, settings), default=str))
    else:
        Console(highlight=False).print(table(database, kafka, settings))
    raise SystemExit(1 if database.server.error or kafka.error else 0)


def machine_form(database: DatabaseStatus, kafka: KafkaStatus, settings: Settings) -> dict[str, Any]:
    """Return all of it for a program: times in seconds, `error` null where an answer came."""
    return {
        "database": {**database.server.row, "error": database.server.error},
        "migration": {"revision": database.migration.row.get("revision"), "error": database.migration.error},
        "messages": {
            "by_status": {row["status"]: row["count"] for row in database.messages.rows},
            "oldest_unfinished_seconds": oldest_unfinished(database.messages),
            "error": database.messages.error,
        },
        "partitions": {**database.partitions.row, "error": database.partitions.error},
        "relay": {**database.relay.row, "error": database.relay.error},
        "pauses": {"items": database.pauses.rows, "error": database.pauses.error},
        "open_breakers": {"items": database.breakers.rows, "error": database.breakers.error},
        "withheld": {"items": database.withheld.rows, "error": database.withheld.error},
        "set_aside": {"items": database.aside.rows, "error": database.aside.error},
        "untried": {"items": database.untried.rows, "error": database.untried.error},
        "without_consumer": {"items": database.unconsumed.rows, "error": database.unconsumed.error},
        "kafka": {
            "brokers": kafka.brokers,
            "group": settings.group,
            "owner": kafka.owner,
            "owner_error": kafka.owner_error,
            "topics": {topic.name: _topic_form(topic) for topic in kafka.topics},
            "error": kafka.error,
        },
    }


def table(database: DatabaseStatus, kafka: KafkaStatus, settings: Settings) -> Table:
    """Return the same for a person."""
    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row("database", _shown(database.server, _server))
    if not database.server.error:
        rows.add_row("migration", _shown(database.migration, lambda answer: str(answer.row.get("revision", "none"))))
        rows.add_row("messages", _shown(database.messages, _messages))
        rows.add_row("tables", _shown(database.partitions, _partitions))
        rows.add_row("relay", _shown(database.relay, _relay))
        _add_rows(rows, "paused", database.pauses, _pause)
        _add_rows(rows, "failing", database.breakers, _breaker)
        _add_rows(rows, "set aside", database.aside, _aside)
        _add_rows(rows, "no consumer", database.unconsumed, _unconsumed)
        _add_rows(rows, "withheld", database.withheld, _withheld)
        _add_rows(rows, "untried", database.untried, _untried)
    rows.add_row(
        "kafka", _bad(kafka.error) if kafka.error else Text(f"{kafka.brokers} broker(s), group {settings.group}")
    )
    if not kafka.error:
        rows.add_row("", _owner(kafka, settings.instance))
    for topic in kafka.topics:
        rows.add_row("", _topic(topic))
    return rows


def oldest_unfinished(messages: Answer) -> float | None:
    """Return the age in seconds of the oldest message that is neither delivered nor given up."""
    ages = [row["oldest_seconds"] for row in messages.rows if row["status"] not in FINAL]
    return max(ages, default=None)


def duration(seconds: float) -> str:
    """Say how long in the unit that fits: 0.4 s, 12 s, 3 min, 2.5 h, 4.0 d."""
    for limit, size, form in ((10, 1, "{:.1f} s"), (120, 1, "{:.0f} s"), (7200, 60, "{:.0f} min")):
        if seconds < limit:
            return form.format(seconds / size)
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} d"  # noqa: PLR2004 - two days


def size(count: float) -> str:
    """Say how many bytes in the unit that fits: 512 B, 8 kB, 1.5 MB, 20 GB."""
    for unit, form in (("B", "{:.0f}"), ("kB", "{:.0f}"), ("MB", "{:.1f}")):
        if count < 1024:  # noqa: PLR2004 - the step from unit to unit
            return f"{form.format(count)} {unit}"
        count /= 1024
    return f"{count:,.1f} GB"


def _shown(answer: Answer, render: Callable[[Answer], str]) -> Text:
    if answer.error:
        return _bad(answer.error)
    return Text(render(answer))


def _server(answer: Answer) -> str:
    standby = ", a standby" if answer.row["is_standby"] else ""
    return f"{answer.row['name']} on PostgreSQL {answer.row['version']}{standby}"


def _withheld(row: Row) -> str:
    part = f"{row['topic']}, all of it" if row["partition"] < 0 else f"{row['topic']}, partition {row['partition']}"
    return f"{part}: {row['reason']} for {duration(row['withheld_seconds'])}, {row['waiting']:,} records wait"


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


def _relay(answer: Answer) -> str:
    if not answer.rows:
        return "has not run yet"
    row = answer.row
    saved = duration(row["saved_seconds_ago"])
    return f"{row['backlog']:,} to publish; cursor at epoch {row['epoch']}, saved {saved} ago"


def _add_rows(rows: Table, name: str, answer: Answer, render: Callable[[Row], str]) -> None:
    if answer.error:
        rows.add_row(name, _bad(answer.error))
    for row in answer.rows:
        rows.add_row(name, Text(render(row), style="yellow"))


def _pause(row: Row) -> str:
    return f"{row['scope']}{_because(row['reason'])}"


def _breaker(row: Row) -> str:
    return f"{row['destination']}{_because(row['reason'])}; tried again in {duration(max(row['probe_in_seconds'], 0))}"


def _unconsumed(row: Row) -> str:
    waits = "1 message waits" if row["count"] == 1 else f"{row['count']:,} messages wait"
    return f"{row['topic']}: {waits}, the oldest for {duration(row['oldest_seconds'])}"


def _untried(row: Row) -> str:
    waits = "1 message waits" if row["count"] == 1 else f"{row['count']:,} messages wait"
    return f"{waits}, the oldest for {duration(row['oldest_seconds'])}: {row['reason']}"


def _aside(row: Row) -> str:
    return f"{row['count']:,} {row['reason']}, the newest {row['newest']}: {row['error']}"


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _owner(kafka: KafkaStatus, instance: str) -> Text:
    owner = kafka.owner
    if kafka.owner_error:
        return _bad(f"whose topics these are is not known: {kafka.owner_error}")
    if owner is None:
        return Text("topics that no Herald has claimed")
    return Text(f"topics of this Herald, {owner}") if owner == instance else _bad(f"topics of another Herald, {owner}")


def _topic(topic: TopicStatus) -> Text:
    behind = "" if topic.lag is None else f", {topic.lag:,} behind"
    return Text(f"{topic.name}: {topic.partitions} partition(s), {topic.records:,} record(s){behind}")


def _topic_form(topic: TopicStatus) -> dict[str, int | None]:
    return {"partitions": topic.partitions, "records": topic.records, "lag": topic.lag}


def _bad(text: str) -> Text:
    return Text(text, style="red")
