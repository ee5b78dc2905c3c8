"""A TCP connection within a deadline, name resolution included."""

import socket
from collections.abc import Sequence

from herald.pipeline.deliver.deadline import Deadline, within
from herald.pipeline.deliver.lack import told_apart

Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


def dial(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first of the host's addresses that answers. Raises OSError.

    One address that swallows packets leaves its share of the time to those after it.
    """
    addresses = _resolve(host, port, deadline)
    failure: OSError = OSError(f"{host} has no address")
    for tried, (family, address) in enumerate(addresses):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(deadline.left() / (len(addresses) - tried))
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = told_apart(error, family)
        else:
            return connection
    raise failure


def _resolve(host: str, port: int, deadline: Deadline) -> Sequence[tuple[socket.AddressFamily, Address]]:
    # getaddrinfo knows no timeout and takes half a minute where no name server answers
    try:
        found = within(deadline, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError:
        raise OSError(f"{host} is no host name") from None
    return [(family, address) for family, _, _, _, address in found]
