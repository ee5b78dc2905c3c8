"""What is written for a page before a cursor passes it."""

import time
from collections.abc import Callable

from herald.outbox.postgres.driver import Connection
from herald.outbox.relay.in_flight import InFlight
from herald.outbox.relay.refusals import record_refusals
from herald.outbox.relay.set_aside import Aside, set_aside
from herald.outbox.watched.relay import NOT_PUBLISHED, PAGE_SECONDS, PUBLISHED


def settle_page(connection: Connection, page: InFlight, pause: Callable[[float], object]) -> None:
    """Record what will never be published of it. Raises PostgresError."""
    if page.refused:
        record_refusals(connection, page.refused, pause)
    aside = [Aside(row[0], row[1], "unpublishable", why) for row, why in page.unfit]
    aside += [Aside(row[0], row[1], "refused", why) for row, why in page.aside]
    if aside:
        set_aside(connection, aside)


def note_settled(page: InFlight) -> None:
    """All of it is acknowledged, or never will be."""
    passed_by = len(page.refused) + len(page.aside) + len(page.unfit)
    PUBLISHED.inc(len(page.rows) - passed_by)
    NOT_PUBLISHED.inc(passed_by)
    PAGE_SECONDS.observe(time.monotonic() - page.began)
