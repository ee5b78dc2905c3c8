"""What goes on in threads while a test, a proof or a benchmark does something else."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Event, Thread
from types import TracebackType
from typing import Self


class Meanwhile(AbstractContextManager["Meanwhile"]):
    """Each act has a thread of its own while the block runs, and ends once the event is set that it is given."""

    def __init__(self, *acts: Callable[[Event], object]) -> None:
        self._stop = Event()
        self._threads = [Thread(target=act, args=(self._stop,), daemon=True) for act in acts]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
