"""Dead letters as a person reads them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from rich.table import Table

from herald.outbox.desk.looking import DeadLetter, Group
from herald.outbox.message.events import Recorded
from herald.outbox.operate.shown import fields, in_words, listed

SHOWN_ONCE = ("data", "topic", "key")  # beside its history: what a message carries


def groups_table(groups: Sequence[Group]) -> Table:
    """By error, the largest first."""
    table = listed("count", "status", "topic", "channel", "newest", "error", "sample")
    for one in groups:
        newest, sample = day_and_time(one.newest), str(one.sample)
        table.add_row(f"{one.count:,}", one.status, one.topic, one.channel or "-", newest, one.error, sample)
    return table


def letters_table(letters: Sequence[DeadLetter]) -> Table:
    """One line for each."""
    table = listed("id", "status", "topic", "key", "attempts", "since", "reason")
    for one in letters:
        since, reason = day_and_time(one.updated_at), one.reason or "-"
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


def _event(recorded: Recorded) -> str:
    told = in_words(fields(recorded.event, without=SHOWN_ONCE))
    name = recorded.event.TYPE.removeprefix("message.")
    return f"  {recorded.version:>3}  {day_and_time(recorded.recorded_at)}  {name:<13} {told}".rstrip()


def day_and_time(when: datetime) -> str:
    """To the second."""
    return f"{when:%Y-%m-%d %H:%M:%S}"
