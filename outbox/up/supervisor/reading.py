"""A log line of a process, made for reading.

The processes write JSON: what is a level, a field or a traceback is then known and need not be guessed.
"""

import json
from datetime import datetime
from typing import Any

from rich.text import Text

LEVELS = {"debug": "dim", "info": "green", "warning": "yellow", "error": "bold red", "critical": "bold red"}
LEFT_OUT = ("timestamp", "level", "event", "role", "exception", "stack", "logger")


def readable(line: str) -> Text:
    """Return time, level, event and fields of a JSON log line; any other line as it is, its colours kept."""
    record = _record(line)
    if record is None:
        return Text.from_ansi(line)
    level = str(record.get("level", "info"))
    text = Text.assemble(
        (f"{_local_time(record.get('timestamp'))} ", "dim"),
        (f"{level:<7} ", LEVELS.get(level, "")),
        (_printable(str(record.get("event", ""))), "bold" if level != "info" else ""),
    )
    for name, value in record.items():
        if name not in LEFT_OUT:
            text.append(f" {name}=", "dim").append(_shown(value))
    return _with_traceback(text, record)


def event_of(line: str) -> str | None:
    """The event of a JSON log line; None for any other."""
    record = _record(line)
    return None if record is None else str(record["event"])


def _record(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # a process may print anything
        return None
    return record if isinstance(record, dict) and "event" in record else None


def _local_time(timestamp: object) -> str:
    try:
        return datetime.fromisoformat(str(timestamp)).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except ValueError:
        return " " * len("00:00:00.000")


def _shown(value: object) -> str:
    if isinstance(value, str) and value and not any(sign.isspace() or not sign.isprintable() for sign in value):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _printable(text: str) -> str:
    """Keep what a caller sent from steering the terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _with_traceback(text: Text, record: dict[str, Any]) -> Text:
    trace = record.get("exception") or record.get("stack")
    return text.append("\n").append(str(trace), "red") if trace else text
