"""Nothing of Herald runs, for days: what is sent commits, and is delivered after the start."""

from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from herald.outbox.postgres.driver import connect_plainly
from herald.outbox.postgres.statements import execute
from herald.pipeline.testing.clock import VirtualClock
from tests.proof.callers.plans import TRIGGER, placed
from tests.proof.callers.stage import Stage

BEFORE = 20  # orders while everything runs


@dataclass
class Away:
    """When all was killed, what date it was when callers sent, how many orders they made, and what is wrong."""

    killed: datetime
    sent: datetime
    orders: int
    wrong: list[str] = field(default_factory=list)

    @property
    def days(self) -> float:
        return (self.sent - self.killed).total_seconds() / 86_400


def go_away(stage: Stage, clock: VirtualClock, *, days: float, orders: int) -> Away:
    """Half of the orders by a statement of the program's, half by the trigger; each a transaction of its own."""
    send(stage, range(BEFORE))
    stage.settled()
    for member in stage.fleet.members.values():
        member.kill()
    away = Away(clock.now(), clock.advance(days=days), orders)
    send(stage, range(BEFORE, BEFORE + orders))
    away.wrong = stage.settled().wrong(range(BEFORE + orders))
    return away


def send(stage: Stage, orders: range) -> None:
    """Raises PostgresError where one cannot be."""
    with closing(connect_plainly(stage.callers_url)) as connection:
        for order in orders:
            for statement in placed(TRIGGER if order % 2 else "", order):
                execute(connection, statement)
            connection.commit()
