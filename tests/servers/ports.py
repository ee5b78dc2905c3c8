"""Free TCP ports."""

import random
import socket

PORTS = range(10_000, 20_000)  # below those that systems give to clients: one of them could take it in between


def free_port() -> int:
    """A port of the loopback that nobody listens on now; a random one, so that two tests at once do not meet."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    message = f"found no free port in {PORTS}"
    raise OSError(message)


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0
