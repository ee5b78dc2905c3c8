"""One of several processes of the API: `python -P -m herald.api.worker`, as the supervisor starts it."""

import sys

from herald.api.process import serve
from herald.api.seat import Seat
from herald.outbox.logs import configure_logs
from herald.outbox.settings import load_settings
from herald.outbox.startup import usable
from herald.outbox.watched.life import LIFE


def main(arguments: list[str]) -> None:
    """Serve on a seat; settings are read anew, where the address does not count."""
    seat = Seat.taken(arguments)
    seat.leave_with_supervisor()
    with usable():
        settings = load_settings()
    configure_logs("api")
    LIFE.watch()
    serve(settings, host=settings.host, port=settings.port, seat=seat)


if __name__ == "__main__":
    main(sys.argv[1:])
