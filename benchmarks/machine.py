"""How much of the machine was left while something was measured (Linux)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

IDLE, WAITING = 3, 4  # fields of /proc/stat: a processor that waits for the disk could have worked


@dataclass
class Span:
    """`idle`: percent of all processors' time; known at the end."""

    idle: float = 100.0


@contextmanager
def watched() -> Iterator[Span]:
    """Count from here to the end, whoever used it."""
    span = Span()
    before = _ticks()
    yield span
    passed = [after - earlier for earlier, after in zip(before, _ticks(), strict=True)]
    span.idle = 100 * (passed[IDLE] + passed[WAITING]) / max(1, sum(passed))


def nanoseconds(process: int) -> int:
    """Of processor that all threads of a process have used."""
    found = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(path.read_text(encoding="ascii").split()[0]) for path in found)


def _ticks() -> list[int]:
    """User, nice, system, idle, iowait, irq, softirq, steal; what guests used is in the first two."""
    first, _, _ = Path("/proc/stat").read_text(encoding="ascii").partition("\n")
    return [int(field) for field in first.split()[1:9]]
