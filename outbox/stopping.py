"""How a process is told to stop."""

import signal
import threading


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM and SIGINT set `stop`, from now on and until the process ends.

    In a thread: a signal that comes while the main thread has the event's own lock would wait for it for ever.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=stop.set, name="stop", daemon=True).start())
