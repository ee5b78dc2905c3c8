"""Many callers at once, by pgbench: each transaction writes a row and sends."""

import math
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.postgres import PostgresServer

NAME = "pgbench"  # of its sessions
CALLERS = 32
BESIDE = 120.0  # seconds after its end at which it must have ended
SCRIPT = """
BEGIN;
INSERT INTO public.placed (place) VALUES (:client_id);
SELECT herald.send('generic_topic', '{"total": 12.50}', 'customer-' || :client_id,
    jsonb_build_object('idempotency_key', gen_random_uuid()));
COMMIT;
"""
TABLE = "CREATE TABLE public.placed (place integer); GRANT INSERT ON public.placed TO {login}"


@dataclass
class Calls:
    """Seconds that each transaction took, from its turn on."""

    process: "subprocess.Popen[str]"
    seconds: list[float] = field(default_factory=list)
    lasted: float = 0.0

    @property
    def go_on(self) -> bool:
        return self.process.poll() is None

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        return 1000 * sorted(self.seconds)[math.ceil(share * len(self.seconds)) - 1]

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.lasted


@contextmanager
def calling(server: PostgresServer, url: str, folder: Path, *, rate: float, seconds: float) -> Iterator[Calls]:
    """Begin, and be through when the block is left. Raises AssertionError where a transaction failed."""
    script = folder / "send.sql"
    script.write_text(SCRIPT, encoding="utf-8")
    for old in folder.glob("calls.*"):
        old.unlink()
    command = [server.tool("pgbench"), "-n", "-f", script, "-c", CALLERS, "-j", 2, "-R", f"{rate:g}"]
    command += ["-T", round(seconds), "-l", "--log-prefix", folder / "calls", url]
    with subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        try:
            calls = Calls(process)
            yield calls
            _, failed = process.communicate(timeout=seconds + BESIDE)
            assert process.returncode == 0, failed
        finally:
            process.kill()
    _read(calls, folder)


def _read(calls: Calls, folder: Path) -> None:
    """A line has the microseconds from the transaction's turn to its end, and when it ended."""
    ends = []
    for log in folder.glob("calls.*"):
        for line in log.read_text(encoding="ascii").splitlines():
            _, _, microseconds, _, second, fraction, *_ = line.split()
            calls.seconds.append(int(microseconds) / 1e6)
            ends.append(int(second) + int(fraction) / 1e6)
    calls.lasted = max(ends) - min(ends)
