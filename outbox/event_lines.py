"""An event on one line, as a person reads it."""

from datetime import datetime

import msgspec

from outbox.events import Recorded

_TOLD_ELSEWHERE = {"data", "topic", "key"}


def event_line(recorded: Recorded) -> str:
    """Version, date, name and fields; what the message carries is shown once, beside its history."""
    fields = {
        name: value
        for name, value in msgspec.structs.asdict(recorded.event).items()
        if value is not None and name not in _TOLD_ELSEWHERE
    }
    told = ", ".join(f"{name} {value}" for name, value in msgspec.to_builtins(fields).items())
    name = recorded.event.TYPE.removeprefix("message.")
    return f"  {recorded.version:>3}  {shown_date(recorded.recorded_at)}  {name:<13} {told}".rstrip()


def shown_date(when: datetime) -> str:
    """To the second, in UTC."""
    return f"{when:%Y-%m-%d %H:%M:%S}"
