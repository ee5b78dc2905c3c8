"""The API's address, checked before anything starts."""

import socket

from herald.outbox.up.servers.data_folder import InUseError

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - looked up, not bound


def require_free(host: str, port: int) -> None:
    """Raise InUseError unless the API can listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the API will: TIME_WAIT is no obstacle
            probe.bind(address)
    except OSError as error:
        message = f"the API cannot listen on {host}:{port} ({error.strerror}): choose another port with --port"
        raise InUseError(message) from None


def base_url(host: str, port: int) -> str:
    """Return how a client on this machine reaches the API."""
    reached = EVERYWHERE.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
