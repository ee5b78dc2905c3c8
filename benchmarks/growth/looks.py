"""What Herald's processes ask and do again and again, called as they call it, over connections like theirs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection as PooledConnection

from benchmarks.histories.stories import GROUP
from benchmarks.letters import EVENTS, RARE
from herald.outbox.desk.filters import Filter
from herald.outbox.desk.looking import count_dead_letters, list_dead_letters, list_groups
from herald.outbox.message.notification import TOPIC
from herald.outbox.message.state import Status
from herald.outbox.operate.status.database import read_database
from herald.outbox.postgres.connections import connect_watched
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.engine import make_engine
from herald.outbox.postgres.groups import find_group
from herald.outbox.postgres.queries import Chosen, events_of, find_notification, list_notifications
from herald.outbox.postgres.statements import execute, fetch_column, fetch_one
from herald.outbox.relay.cursor import load
from herald.outbox.relay.reader import Limits, list_page, read_page
from herald.outbox.relay.session import open_session
from herald.outbox.scheduler.duties import make_duties
from herald.outbox.scheduler.look import Looks
from herald.outbox.scheduler.lost import FIRST, read_candidates
from herald.outbox.scheduler.pages import load_pages
from herald.outbox.settings import Settings

PAGE = 50  # of a list
USER = "42"
STATUSES: tuple[Status, ...] = ("sent", "dead", "failed", "scheduled", "pending", "cancelled")
Look = Callable[[], object]
SAMPLE = """
SELECT u.error, m.topic, m.destination, m.key, m.event, u.id::text, m.updated_at
FROM unsent AS u JOIN messages AS m ON m.id = u.id
WHERE u.status = 'dead' AND m.topic = 'notifications' ORDER BY u.id LIMIT 1
"""
MIDDLE = "SELECT outbox_first_id(now() - interval '90 days')::text"
# The relay begins before the transaction that wrote the row so many places before the last one.
BEFORE = """
SELECT format('%%s:%%s:', transaction_id, transaction_id) FROM outbox
WHERE topic IS NOT NULL ORDER BY position DESC OFFSET %(count)s LIMIT 1
"""


@dataclass(frozen=True)
class Connections:
    """As the processes have them; all in autocommit but the worker's."""

    settings: Settings
    scheduler: Connection
    relay: Connection
    worker: Connection
    api: PooledConnection

    @property
    def desk(self) -> Connection:
        """The API's, by the driver."""
        return cast("Connection", self.api.connection.driver_connection)

    @property
    def all(self) -> list[Connection]:
        return [self.scheduler, self.relay, self.worker, self.desk]


@contextmanager
def connected(settings: Settings) -> Iterator[Connections]:
    """Open all of them."""
    with ExitStack() as stack:
        scheduler = stack.enter_context(closing(connect_watched(settings, "herald-scheduler", is_steady=True)))
        scheduler.autocommit = True
        relay = stack.enter_context(closing(open_session(settings)))
        worker = stack.enter_context(closing(connect_watched(settings, "herald-worker", is_steady=True)))
        engine = make_engine(settings, "herald-api")
        stack.callback(engine.dispose)
        yield Connections(settings, scheduler, relay, worker, stack.enter_context(engine.connect()))


def looks(connections: Connections) -> dict[str, Look]:
    """By name; each can be called again and again and finds the same."""
    return {**_of_relay(connections), **_of_scheduler(connections), **_of_lists(connections), **_of_desk(connections)}


def status(connections: Connections) -> Look:
    """Everything that `herald status` asks the database."""
    return lambda: read_database(connections.settings)


def _of_relay(connections: Connections) -> dict[str, Look]:
    relay = connections.relay
    cursor = load(relay)
    execute(relay, "SET idle_session_timeout = 0")  # the relay itself says something every second
    return {"relay: empty look": lambda: read_page(relay, cursor, Limits(1000))}


def read_backlog(connections: Connections) -> None:
    """Two pages of what was published long ago, and where their rows stand."""
    relay = connections.relay
    cursor = load(relay)
    (before,) = fetch_one(relay, BEFORE, {"count": 4_000})
    behind = type(cursor)(**{name: getattr(cursor, name) for name in cursor.__slots__} | {"previous": before})
    first = read_page(relay, behind, Limits(1000))
    read_page(relay, first.cursor, Limits(1000))
    list_page(relay, list_page(relay, behind, Limits(1000)).cursor, Limits(1000))


def _of_scheduler(connections: Connections) -> dict[str, Look]:
    asked = connections.scheduler
    duties: dict[str, Look] = {
        f"scheduler: {duty.name}": partial(duty.act, asked) for duty in make_duties(connections.settings)
    }
    snapshot = load(connections.relay).previous
    return {
        **duties,
        "scheduler: the metrics' look": partial(Looks(connections.settings).look, asked),
        "scheduler: lost": lambda: (load_pages(asked), read_candidates(asked, snapshot, after=FIRST)),
    }


def _of_lists(connections: Connections) -> dict[str, Look]:
    api = connections.api
    (middle,) = fetch_one(connections.desk, MIDDLE)
    chosen: dict[str, Chosen] = {
        "all": Chosen(),
        "a user": Chosen(user_id=USER),
        "an event": Chosen(event=EVENTS[0]),
        "a rare event": Chosen(event=RARE),
        **{one: Chosen(status=one) for one in STATUSES},
        "a user and event": Chosen(user_id=USER, event=EVENTS[0]),
        "a user, sent": Chosen(user_id=USER, status="sent"),
        "a user, dead": Chosen(user_id=USER, status="dead"),
        "a rare event, dead": Chosen(event=RARE, status="dead"),
        "a group": Chosen(group=GROUP),
    }
    lists: dict[str, Look] = {
        **{
            f"list: {name}": _ended(api, partial(list_notifications, api, one, limit=PAGE))
            for name, one in chosen.items()
        },
        **{
            f"list: {name} from the middle": _ended(
                api, partial(list_notifications, api, one, limit=PAGE, before=UUID(middle))
            )
            for name, one in {"all": Chosen(), "an event": chosen["an event"]}.items()
        },
    }
    (one,) = fetch_column(connections.desk, "SELECT id::text FROM messages WHERE topic = %s LIMIT 1", TOPIC)
    return {
        **lists,
        "one notification": _ended(api, partial(find_notification, api, UUID(one))),
        "events of one": _ended(api, partial(events_of, api, UUID(one), topic=TOPIC)),
        "a group": _ended(api, partial(find_group, api, GROUP)),
    }


def _of_desk(connections: Connections) -> dict[str, Look]:
    desk = connections.desk
    error, topic, destination, key, event, _, at = fetch_one(desk, SAMPLE)
    chosen = {
        "all": Filter(),
        "a topic": Filter(topic=topic),
        "a channel": Filter(channel="webhook"),
        "a destination": Filter(destination=destination),
        "dead": Filter(status="dead"),
        "an error": Filter(error=error),
        "an event": Filter(event=event),
        "a user": Filter(key=key),
        "since": Filter(since=at),
        "until": Filter(until=at),
    }
    return {
        **{
            f"dead letters: {name}": _ended(desk, partial(list_dead_letters, desk, one, limit=PAGE))
            for name, one in chosen.items()
        },
        "dead letters: groups": _ended(desk, partial(list_groups, desk)),
        "dead letters: groups of an error": _ended(desk, partial(list_groups, desk, Filter(error=error))),
        "dead letters: how many": _ended(desk, partial(count_dead_letters, desk, Filter())),
    }


def _ended(connection: Any, look: Look) -> Look:
    """As a request ends."""

    def look_and_end() -> object:
        found = look()
        connection.rollback()
        return found

    return look_and_end
