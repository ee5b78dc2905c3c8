"""What a decision about many would touch, without touching it."""

from typing import Literal

import msgspec

from herald.outbox.desk.filters import Filter
from herald.outbox.desk.looking import Group, count_dead_letters, list_groups
from herald.outbox.postgres.driver import Connection


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What would take part, and nothing was changed."""

    matching: int
    groups: list[Group]
    dry_run: Literal[True] = True


def dry_run(connection: Connection, chosen: Filter) -> DryRun:
    """Count and group what fits."""
    return DryRun(matching=count_dead_letters(connection, chosen), groups=list_groups(connection, chosen))
