"""The embedded broker: Kafka's protocol from memory, described as a role for the supervisor.

It forgets topics, records and offsets at its end; the relay notices and requests again what is unfinished.
"""

import random
import socket
from pathlib import Path

from herald.outbox.up.servers.wheels import broker_program
from herald.outbox.up.supervisor.child import Role

# With its memory go the ids of producers and the places of consumers. It refuses the old ones (UnknownProducerId) for
# as long as the clients live, so these start anew with it; then the relay sees new topics and requests again.
CLIENTS = ("relay", "pipeline")
PORTS = range(20_000, 32_000)  # below the ports that systems give to clients: one of those could take it in a restart
STOP_BY = 7.5  # seconds after the shutdown began
# Seconds of a fetch on this broker, which does not wake a waiting fetch when a record comes. Measured with a bare
# consumer at 100 records/s, p50 and p99: 129 and 250 ms at librdkafka's 0.5 s, 1.8 and 3.4 ms at 0.01 s.
FETCH_WAIT = "0.01"
SESSION_TIMEOUT = "3"  # seconds; this broker lets the first member of a group wait half of it
LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a port nobody listens on; a random one, so that two starting at once do not meet."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port
    message = "found no free port for the embedded broker"
    raise OSError(message)


def role(port: int, staging: Path, env: dict[str, str]) -> Role:
    """Describe the broker on one port; a restart keeps it. Raises NotInstalledError."""
    address = f"tcp://{LOOPBACK}:{port}"
    command = [str(broker_program(staging)), "broker", "--cluster-id", "herald-embedded", "--silent"]
    command += ["--listener-url", address, "--advertised-listener-url", address]
    command += ["--storage-engine", "memory://tansu/"]
    return Role(name="broker", command=command, env=env, stop_by=STOP_BY, takes_along=CLIENTS)


def answers(port: int) -> bool:
    """Whether the broker takes connections."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex((LOOPBACK, port)) == 0
