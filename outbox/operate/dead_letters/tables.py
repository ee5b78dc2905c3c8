"""Dead letters, and rows of the log that were set aside, as a person reads them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from rich.console import Console
from rich.table import Table

from herald.outbox.desk.aside import AsideRow
from herald.outbox.desk.looking import DeadLetter, Group
from herald.outbox.message.events import Recorded

_MOST_ERROR = 120  # characters in a table
_BARE = {"box": None, "padding": (0, 2, 0, 0), "header_style": "bold"}


def groups_table(groups: Sequence[Group]) -> Table:
    """By error, the largest first."""
    table = Table("count", "status", "topic", "channel", "newest", "error", "sample", **_BARE)  # type: ignore[arg-type]
    for one in groups:
        newest, sample = _date(one.newest), str(one.sample)
        table.add_row(f"{one.count:,}", one.status, one.topic, one.channel or "-", newest, one.error, sample)
    return table


def letters_table(letters: Sequence[DeadLetter]) -> Table:
    """One line for each."""
    table = Table("id", "status", "topic", "key", "attempts", "since", "reason", **_BARE)  # type: ignore[arg-type]
    for one in letters:
        since, reason = _date(one.updated_at), one.reason or "-"
        table.add_row(str(one.id), one.status, one.topic, one.key or "-", str(one.attempts), since, reason)
    return table


def letter_text(letter: DeadLetter, history: Sequence[Recorded]) -> str:
    """One, with its data and its history."""
    lines = [
        f"id           {letter.id}",
        f"status       {letter.status}",
        f"reason       {letter.reason or '-'}",
        f"topic, key   {letter.topic}, {letter.key or '-'}",
        f"destination  {letter.destination or '-'}",
        f"attempts     {letter.attempts}",
        f"data         {msgspec.json.format(bytes(letter.data), indent=2).decode()}",
        "history",
    ]
    return "\n".join([*lines, *(_event(one) for one in history)])


def aside_table(rows: Sequence[AsideRow]) -> Table:
    """One line for each row that was set aside."""
    table = Table("id", "topic", "reason", "since", "message", "decision", "error", **_BARE)  # type: ignore[arg-type]
    for one in rows:
        error = one.error if len(one.error) <= _MOST_ERROR else f"{one.error[:_MOST_ERROR]}…"
        decision = "-" if one.decision is None else f"{one.decision} by {one.decided_by}"
        table.add_row(one.name, one.topic or "-", one.reason, _date(one.since), one.status or "none", decision, error)
    return table


def aside_text(row: AsideRow, columns: Mapping[str, str]) -> str:
    """One, with what can be read of it."""
    waits = ", which waits for it" if row.waits else ""
    lines = [
        f"id           {row.name}",
        f"set aside    {_date(row.since)}, {row.reason}",
        f"error        {row.error}",
        f"message      {row.status or 'none'}{waits}",
        f"position     {row.position}",
        *(f"{name:<12} {text}" for name, text in columns.items()),
    ]
    if row.decision is not None and row.decided_at is not None:
        because = f": {row.decided_because}" if row.decided_because else ""
        lines.append(f"decision     {row.decision} by {row.decided_by}, {_date(row.decided_at)}{because}")
    return "\n".join(lines)


def print_table(table: Table) -> None:
    """Print it as it is: what a provider answered is text, though it look like markup."""
    Console(highlight=False, markup=False, emoji=False).print(table)


def _event(recorded: Recorded) -> str:
    """Version, date, name and fields; what the message carries is shown once, beside its history."""
    fields = {
        name: value
        for name, value in msgspec.structs.asdict(recorded.event).items()
        if value is not None and name not in {"data", "topic", "key"}
    }
    told = ", ".join(f"{name} {value}" for name, value in msgspec.to_builtins(fields).items())
    name = recorded.event.TYPE.removeprefix("message.")
    return f"  {recorded.version:>3}  {_date(recorded.recorded_at)}  {name:<13} {told}".rstrip()


def _date(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}"
