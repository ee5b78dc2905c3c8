"""The one log of `herald up`: a line of any process, made for reading, with its role in front, or as JSON.

The processes write JSON: what is a level, a field or a traceback is then known and need not be guessed.
"""

import json
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

OWN_NAME = "herald"
WIDTH = 8  # characters of the longest role
COLOURS = {
    OWN_NAME: "bold",
    "api": "cyan",
    "relay": "magenta",
    "pipeline": "green",
    "migrate": "yellow",
    "broker": "blue",
    "postgres": "bright_blue",
}
LEVELS = {"debug": "dim", "info": "green", "warning": "yellow", "error": "bold red", "critical": "bold red"}
LEFT_OUT = ("timestamp", "level", "event", "role", "exception", "stack", "logger")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Go on in silence: a reader that left must not take the servers with it."""
        self.quiet = True


class Terminal:
    """Where all threads print; colours only on a terminal, and not with NO_COLOR. `as_json`: for programs."""

    def __init__(self, console: Console | None = None, *, as_json: bool = False) -> None:
        self.console = console or _Console(highlight=False, soft_wrap=True)
        self.as_json = as_json

    def line(self, role: str, text: str | Text) -> None:
        """Print what a process wrote, each line of it with the role in front."""
        if self.as_json:
            self._print(Text(text if isinstance(text, str) and record_of(text) else in_json(role, "info", text)))
            return
        for body in (readable(text) if isinstance(text, str) else text).split("\n"):
            self._print(Text.assemble((f"{role:<{WIDTH}} │ ", COLOURS.get(role, "white")), body))

    def say(self, text: str, style: str = "") -> None:
        """Print what `herald up` itself has to say."""
        self.line(OWN_NAME, Text(text, style))

    def complain(self, text: str) -> None:
        """Say what went wrong."""
        if self.as_json:
            self._print(Text(in_json(OWN_NAME, "error", text)))
        else:
            self.say(text, "bold red")

    def _print(self, line: Text) -> None:
        try:
            self.console.print(line, soft_wrap=True)
        except OSError:  # the terminal is gone (EIO); what we supervise is not
            self.console.quiet = True


def in_json(role: str, level: str, text: str | Text) -> str:
    """A line that is no event of a process's log, as one."""
    plain = (Text.from_ansi(text) if isinstance(text, str) else text).plain
    return json.dumps({"event": plain, "role": role, "level": level, "timestamp": f"{datetime.now(UTC):%FT%T.%fZ}"})


def readable(line: str) -> Text:
    """Time, level, event and fields of a JSON log line; any other line as it is, its colours kept."""
    record = record_of(line)
    if not record:
        return Text.from_ansi(line)
    level, event = str(record.get("level", "info")), str(record["event"])
    event = "".join(sign if sign.isprintable() else " " for sign in event)  # a caller's must not steer the terminal
    text = Text.assemble((f"{_local_time(record.get('timestamp'))} ", "dim"), (f"{level:<7} ", LEVELS.get(level, "")))
    text.append(event, "bold" if level != "info" else "")
    for name in (name for name in record if name not in LEFT_OUT):
        text.append(f" {name}=", "dim").append(_shown(record[name]))
    trace = record.get("exception") or record.get("stack")
    return text.append(f"\n{trace}", "red") if trace else text


def record_of(line: str) -> dict[str, Any]:
    """What a process logged; empty for any other line: a process may print anything."""
    try:
        record = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and "event" in record else {}


def _local_time(timestamp: object) -> str:
    try:
        return datetime.fromisoformat(str(timestamp)).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except ValueError:
        return " " * len("00:00:00.000")


def _shown(value: object) -> str:
    is_plain = isinstance(value, str) and value.isprintable() and value.split() == [value]
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False, default=str)
