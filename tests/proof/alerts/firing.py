"""Each alert is caused, seen firing, ended and seen resolved."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from time import monotonic

import click

from tests.proof.alerts.causes import SETS, Cause
from tests.proof.alerts.stage import Stage
from tests.servers.eventually import eventually

FIRES = 900.0  # seconds until an alert fires, and until it is resolved: its own `for`, and what a busy machine adds


@dataclass
class Shown:
    """One alert; seconds from its cause to its firing, and from the cause's end until it was resolved."""

    cause: Cause
    fired: float | None = None
    resolved: float | None = None
    description: str = ""


@dataclass
class Found:
    """Of a run; `others` fired without a cause that entails them."""

    shown: list[Shown]
    others: set[str]
    seconds: float

    @property
    def wrong(self) -> list[str]:
        """Sentences."""
        return [
            *(f"{one.cause.alert} did not fire" for one in self.shown if one.fired is None),
            *(f"{one.cause.alert} was not resolved" for one in self.shown if one.fired and one.resolved is None),
            *(f"{name} fired without a cause" for name in sorted(self.others)),
        ]


def show(stage: Stage, names: Iterable[str] = ()) -> Found:
    """All, or those of these names."""
    began, wanted = monotonic(), set(names)
    shown: list[Shown] = []
    others: set[str] = set()
    for together in SETS:
        if chosen := [one for one in together if not wanted or one.alert in wanted]:
            click.echo(f"{monotonic() - began:,.0f} s: {', '.join(one.alert for one in chosen)}", err=True)
            stage.seen.clear()
            shown += list(_show(stage, chosen))
            expected = {one.alert for one in chosen}.union(*(one.entails for one in chosen))
            others |= set(stage.seen) - expected
    return Found(shown, others, monotonic() - began)


def _show(stage: Stage, together: Sequence[Cause]) -> Iterator[Shown]:
    """They begin together and end together."""
    shown = {one.alert: Shown(one) for one in together}
    with ExitStack() as undone:
        began = {}
        for one in together:
            began[one.alert] = monotonic()
            undone.callback(one.end, stage, one.begin(stage))
        _await(lambda: _note_fired(stage, shown, began), "every alert of the set fires")
    ended = monotonic()
    _await(lambda: _note_resolved(stage, shown, ended), "every alert of the set is resolved")
    yield from shown.values()


def _note_fired(stage: Stage, shown: dict[str, Shown], began: dict[str, float]) -> bool:
    for alert in stage.prometheus.alerts():
        one = shown.get(alert.name)
        if one is not None and one.fired is None and alert.state == "firing":
            one.fired, one.description = monotonic() - began[alert.name], alert.description
    return all(one.fired is not None for one in shown.values())


def _note_resolved(stage: Stage, shown: dict[str, Shown], ended: float) -> bool:
    firing = stage.firing
    for name, one in shown.items():
        one.resolved = None if name in firing else one.resolved or monotonic() - ended
    return not firing


def _await(condition: Callable[[], bool], what: str) -> None:
    """The report says what did not come."""
    with suppress(AssertionError):
        eventually(condition, FIRES, what=what)
