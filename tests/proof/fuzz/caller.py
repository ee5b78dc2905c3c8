"""A good client in a process of its own, so that what it measures is the API and not who attacks it from Python.

`python -m tests.proof.fuzz.caller PORT`: posts at a steady rate until its input ends, and prints what it met.
"""

import contextlib
import json
import math
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from threading import Event
from time import monotonic

RATE = 50.0  # requests per second
PATIENCE = 10.0  # seconds that it waits for an answer
GOOD = '{"user_id":"good","event":"e","content":"c"}'


@dataclass
class Met:
    """Seconds until each answer, and what was none or a refusal."""

    seconds: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def p99(self) -> float:
        """Of its answers, in milliseconds."""
        return sorted(self.seconds)[math.ceil(0.99 * len(self.seconds)) - 1] * 1000


@contextmanager
def calling(port: int) -> Iterator[Met]:
    """A good client for as long as the `with` lasts; filled in at its end."""
    met = Met()
    command = [sys.executable, "-m", __name__, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield met
        finally:
            output, _ = process.communicate()
    found = json.loads(output)
    met.seconds += found["seconds"]
    met.failed.update(found["failed"])


def call_alone(port: int, seconds: float) -> Met:
    """The same by itself for so long."""
    with calling(port) as met:
        Event().wait(seconds)
    return met


def main() -> None:
    met, due = Met(), monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, due - monotonic()))[0]:
        due += 1 / RATE
        began = monotonic()
        if problem := _post(int(sys.argv[1])):
            met.failed[problem] += 1
        met.seconds.append(monotonic() - began)
    sys.stdout.write(json.dumps({"seconds": met.seconds, "failed": met.failed}))


def _post(port: int) -> str | None:
    """What went wrong, if anything."""
    try:
        with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            connection.request("POST", "/notifications", GOOD, {"content-type": "application/json"})
            status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return type(error).__name__
    return None if status == 202 else str(status)


if __name__ == "__main__":
    main()
