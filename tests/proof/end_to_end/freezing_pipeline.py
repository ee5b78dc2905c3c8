"""`herald pipeline` as it is, until the file FREEZE names a part: the worker hangs, or a flush never ends."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from threading import Event
from typing import NoReturn, ParamSpec, TypeVar

from herald.pipeline.consume.inbox import Inbox
from herald.pipeline.work.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")


def freezing(name: str, act: Callable[P, T], instead: Callable[[], T]) -> Callable[P, T]:
    @wraps(act)
    def act_or_not(*values: P.args, **named: P.kwargs) -> T:
        file = Path(os.environ["FREEZE"])
        return instead() if file.exists() and file.read_text() == name else act(*values, **named)

    return act_or_not


def hang() -> NoReturn:
    while True:
        Event().wait()


if __name__ == "__main__":
    Worker.work = freezing("worker", Worker.work, hang)  # type: ignore[method-assign]
    Inbox.settle = freezing("flush", Inbox.settle, lambda: None)  # type: ignore[method-assign]
    from herald.pipeline.process import command

    command()
