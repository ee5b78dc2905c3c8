"""What surrounds Quix: its noise, and its end."""

import logging
import threading
from typing import cast

from quixstreams import Application

from pipeline.application import QUIET, OncePerKind, run_until


class FakeApplication:
    """Forgets a stop that comes before its loop begins, as Quix does."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self.stops = 0

    def run(self) -> None:
        self._stopped.clear()
        assert self._stopped.wait(10)

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            self._stopped.set()


def line(text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("quixstreams", logging.ERROR, "", 0, text, arguments, None)


def test_a_stop_that_quix_forgets_is_repeated() -> None:
    stop = threading.Event()
    stop.set()
    application = FakeApplication()

    run_until(cast("Application", application), stop)

    assert application.stops >= 2


def test_a_dead_broker_is_reported_once_in_ten_seconds() -> None:
    now = 0.0
    once = OncePerKind(clock=lambda: now)
    text = 'Kafka consumer error: "Connection refused" code="%s"'

    assert once.filter(line(text, 1))
    assert not once.filter(line(text, 2))
    now = QUIET
    assert once.filter(line(text, 3))


def test_another_kind_of_error_is_reported_beside_it() -> None:
    once = OncePerKind(clock=lambda: 0.0)

    assert once.filter(line("Kafka producer error: broker is gone"))
    assert once.filter(line("Failed to commit"))
