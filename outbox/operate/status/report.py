"""What `herald status` shows, for a person or for a program."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.text import Text

from herald.outbox.message.state import FINAL
from herald.outbox.operate.shown import day_and_time, duration, size
from herald.outbox.operate.status.database import MOST, Answer, Row

Database = Mapping[str, Answer]
Told = Iterator[tuple[str, str | Text]]


def told(database: Database, kafka: Row, instance: str) -> list[tuple[str, str | Text]]:
    """All of it for a person: names, and what is said of each. `instance`: which Herald asks."""
    return [*_database(database), *_kafka(kafka, instance)]


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
        lag = "" if topic["lag"] is None else f", lag {topic['lag']:,}"
        yield "", f"{name}: {topic['partitions']} partition(s), {topic['records']:,} record(s){lag}"


def oldest_unfinished(messages: Answer) -> float | None:
    """Return the age in seconds of the oldest message that is neither delivered nor given up."""
    ages = [row["oldest_seconds"] for row in messages.rows if row["status"] not in FINAL]
    return max(ages, default=None)


def _server(answer: Answer) -> str:
    standby = ", a standby" if answer.row["is_standby"] else ""
    return f"{answer.row['name']} on PostgreSQL {answer.row['version']}{standby}"


def _messages(answer: Answer) -> str:
    counts = ", ".join(f"{counted(row['count'])} {row['status']}" for row in answer.rows) or "none"
    age = oldest_unfinished(answer)
    return counts if age is None else f"{counts}; the oldest unfinished waits for {duration(age)}"


def _partitions(answer: Answer) -> str:
    if not answer.rows:
        return "none"
    row = answer.row
    sizes = f"outbox {size(row['outbox_bytes'])}, messages {size(row['messages_bytes'])}"
    due = f"; {row['due']} due" + (f", waits for {row['waits_for']}" if row["waits_for"] else "") if row["due"] else ""
    return f"{row['count']} of each table, the oldest until {row['oldest_until']:%Y-%m-%d %H:%M}; {sizes}{due}"


def backlog(row: Row) -> str:
    """How far the relay is."""
    saved = duration(row["saved_seconds_ago"])
    return f"{counted(row['not_published'])} not published; cursor at epoch {row['epoch']}, saved {saved} ago"


def _breaker(row: Row) -> str:
    return f"{row['destination']}{_because(row)}; tried again in {duration(max(row['probe_in_seconds'], 0))}"


def _pause(row: Row) -> str:
    return f"{row['scope']} since {day_and_time(row['paused_at'])}, by {row['actor'] or 'nobody known'}{_because(row)}"


def _withheld(row: Row) -> str:
    part = f"{row['topic']}, all of it" if row["partition"] < 0 else f"{row['topic']}, partition {row['partition']}"
    return f"{part}: {row['reason']} for {duration(row['withheld_seconds'])}, {row['waiting']:,} records wait"


def counted(number: int) -> str:
    """A count that ends at the most."""
    return f"more than {MOST:,}" if number > MOST else f"{number:,}"


def _because(row: Row) -> str:
    return f": {row['reason']}" if row["reason"] else ""


def _waiting(row: Row) -> str:
    waits = "1 message waits" if row["count"] == 1 else f"{counted(row['count'])} messages wait"
    return f"{waits}, the oldest for {duration(row['oldest_seconds'])}"


def _owner(owner: str | None, error: str | None, instance: str) -> str | Text:
    if error:
        return _bad(f"whose topics these are is not known: {error}")
    if owner is None:
        return "topics that no Herald has claimed"
    return f"topics of this Herald, {owner}" if owner == instance else _bad(f"topics of another Herald, {owner}")


def _bad(text: str) -> Text:
    return Text(text, style="red")


# By the question: what each part is called, and how its answer reads; below, how each of its rows does.
ONE: dict[str, tuple[str, Callable[[Answer], str]]] = {
    "database": ("database", _server),
    "migration": ("migration", lambda answer: str(answer.row.get("revision", "none"))),
    "messages": ("messages", _messages),
    "partitions": ("partitions", _partitions),
    "relay": ("relay", lambda answer: backlog(answer.row) if answer.rows else "has not run yet"),
}
SEVERAL: dict[str, tuple[str, Callable[[Row], str]]] = {
    "pauses": ("paused", _pause),
    "open_breakers": ("open breaker", _breaker),
    "set_aside": ("set aside", "{count:,} {reason}, the newest {newest}: {error}".format_map),
    "no_consumer": ("no consumer", lambda row: f"{row['topic']}: {_waiting(row)}"),
    "withheld": ("withheld", _withheld),
    "in_line": ("in line", lambda row: f"{row['line']}: {_waiting(row)}"),
    "untried": ("untried", lambda row: f"{_waiting(row)}: {row['reason']}"),
}
