"""Processes of a benchmark, and waiting for what they do."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

from tests.servers.child import Child
from tests.servers.eventually import eventually

ASK_EVERY = 0.5  # seconds between two questions that cost what is measured
P = TypeVar("P", bound=Child)


@contextmanager
def started(process: P, end: Callable[[P], object] = Child.kill) -> Iterator[P]:
    """Runs meanwhile; an error then has the end of its log as a note."""
    process.start()
    try:
        yield process
    except BaseException as error:
        error.add_note(process.tail())
        raise
    finally:
        end(process)


def until(condition: Callable[[], object], process: Child, deadline: float, *, what: str) -> None:
    """Wait at most `deadline` seconds; raises RuntimeError with the log's end as soon as the process has ended."""

    def holds() -> bool:
        if not process.running:
            message = f"{process.command} ended with {process.exit_code}\n{process.tail()}"
            raise RuntimeError(message)
        return bool(condition())

    eventually(holds, deadline, what=what)


def until_slowly(condition: Callable[[], object], process: Child, deadline: float, *, what: str) -> None:
    """The same for a question that costs what is measured: asked twice a second."""
    until(lambda: Event().wait(ASK_EVERY) or condition(), process, deadline, what=what)


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
