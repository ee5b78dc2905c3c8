"""The API's rival: a handler of Litestar that does nothing, in so many processes: `no_op PORT PROCESSES`."""

import os
import socket
import sys

import uvicorn
from litestar import Litestar, post

ANSWER = {"id": "01a208a9-9274-758b-9a79-d93c7f6c5e94", "status": "pending"}


@post("/notifications", status_code=202)
async def do_nothing() -> dict[str, str]:
    """As long as Herald's answer."""
    return ANSWER


def main(port: int, processes: int) -> None:
    """Each has a socket that listens, among which the system shares the connections."""
    listeners = [socket.create_server(("127.0.0.1", port), reuse_port=True) for _ in range(processes)]
    app = Litestar([do_nothing], openapi_config=None, logging_config=None)
    config = uvicorn.Config(app, log_level="warning", access_log=False, proxy_headers=False)
    own = next((one for one in listeners[1:] if os.fork() == 0), listeners[0])
    for listener in listeners:
        if listener is not own:
            listener.close()
    uvicorn.Server(config).run(sockets=[own])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
