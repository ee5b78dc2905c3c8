"""`python -m benchmarks.sight watched|blind ROLE`: a process of Herald, over a channel without output.

A blind one counts nothing: each of its metrics is an object that does nothing. Everything else is the same code.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import ParamSpec, TypeVar

from herald.outbox import registry
from herald.outbox.watched.metrics import Metrics

P = ParamSpec("P")
T = TypeVar("T")


class Untimed(AbstractContextManager[None]):
    """Takes the time of a block, or of a function, and tells nobody."""

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def __call__(self, act: Callable[P, T]) -> Callable[P, T]:
        return act


class Nothing:
    """A metric that takes everything."""

    def labels(self, *_: str) -> "Nothing":
        return self

    def time(self) -> Untimed:
        return Untimed()

    def note(self, *_: object) -> None:
        """Do nothing."""

    track_inprogress = time
    inc = observe = observe_all = set_function = tell = forget = note


def be_blind() -> None:
    """Before any metric is made."""
    for kind in ("counter", "histogram", "gauge", "known"):
        setattr(Metrics, kind, lambda *_, **__: Nothing())


if __name__ == "__main__":
    how, role = sys.argv[1:]
    if how == "blind":
        be_blind()
    registry.CHANNELS[registry.DEFAULT_CHANNEL] = "benchmarks.silent_pipeline"
    sys.argv = ["herald", role]
    import_module("herald.outbox.cli").main()
