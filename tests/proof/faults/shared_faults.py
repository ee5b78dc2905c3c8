"""What is everybody's fault and no message's: rights, tables, disks, topics, handlers and memory are taken away."""

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from tests.proof.end_to_end.topic import delete_topics
from tests.proof.faults.breakable import CHANNEL, HANDLER
from tests.proof.faults.court import DATABASE, ROLE, Court, grants

ANSWER = 10.0  # seconds
TOPIC = "notifications"
LIMITS = {resource.RLIMIT_AS: 0, resource.RLIMIT_DATA: 5}  # and where /proc/…/statm has what is taken, in pages
PAGE = resource.getpagesize()  # bytes
LOOK = 0.05  # seconds between two looks for processes without a limit

Begun = AbstractContextManager[object]


class Shared(NamedTuple):
    """A fault that concerns everybody, for as long as its context lasts; `is_variant` of another only in long runs."""

    name: str
    begin: Callable[[Court], Begun]
    is_variant: bool = False


def revoked(privilege: str, *tables: str) -> Callable[[Court], Begun]:
    """Of these tables, or of all that the role has it on."""

    @contextmanager
    def fault(court: Court) -> Iterator[None]:
        court.own(f"REVOKE {privilege} ON {', '.join(tables) or 'ALL TABLES IN SCHEMA herald'} FROM {ROLE}")
        yield
        court.own(*grants())

    return fault


@contextmanager
def shut_out(court: Court) -> Iterator[None]:
    """Of the schema: for sessions that are there, and for those that begin."""
    court.own(f"REVOKE USAGE ON SCHEMA herald FROM {ROLE}")
    yield
    court.own(*grants())


def told(what: str, *, of: str) -> Callable[[Court], Begun]:
    """A setting of the role or the database, and every session is ended so that it holds."""

    @contextmanager
    def fault(court: Court) -> Iterator[None]:
        court.server.execute(f"ALTER {of} SET {what}")
        court.end_sessions()
        yield
        court.server.execute(f"ALTER {of} RESET {what.partition(' ')[0]}")
        court.end_sessions()

    return fault


def renamed(table: str, column: str) -> Callable[[Court], Begun]:
    @contextmanager
    def fault(court: Court) -> Iterator[None]:
        court.own(f"ALTER TABLE {table} RENAME COLUMN {column} TO another")
        yield
        court.own(f"ALTER TABLE {table} RENAME COLUMN another TO {column}")

    return fault


@contextmanager
def full(court: Court) -> Iterator[None]:
    """The disk; the server ends when its log cannot be written, and is started when there is room again."""
    disk = court.server.disk
    assert disk
    disk.fill()
    yield
    disk.free()
    if not court.server.child.running:
        court.server.start()


# the newest partitions leave, and the one of today ends in a moment; they come back as they were
_SHORTEN = """
DO $$
DECLARE
    one record;
    cut uuid := outbox_first_id(clock_timestamp() + interval '0.5 s');
BEGIN
    CREATE TABLE shortened AS SELECT * FROM partitions WHERE upper > cut;
    FOR one IN SELECT * FROM shortened LOOP
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %I', one.parent, one.name);
        IF one.lower IS NULL OR one.lower < cut THEN
            EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)', one.parent, one.name,
                coalesce(quote_literal(one.lower), 'MINVALUE'), cut);
        END IF;
    END LOOP;
END $$
"""
_LENGTHEN = """
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT * FROM shortened LOOP
        IF EXISTS (SELECT FROM partitions WHERE name = one.name) THEN
            EXECUTE format('ALTER TABLE %s DETACH PARTITION %I', one.parent, one.name);
        END IF;
        EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)', one.parent, one.name,
            coalesce(quote_literal(one.lower), 'MINVALUE'), one.upper);
    END LOOP;
    DROP TABLE shortened;
END $$
"""


@contextmanager
def without_partition(court: Court) -> Iterator[None]:
    """None for what is accepted from now on, and nobody who may make one."""
    court.own(_SHORTEN)
    yield
    court.own(_LENGTHEN)


def forbidden(operation: AclOperation) -> Callable[[Court], Begun]:
    """On the topic of notifications, to everybody; all else is allowed, as where no rule speaks of the topic."""

    @contextmanager
    def fault(court: Court) -> Iterator[None]:
        of = (ResourceType.TOPIC, TOPIC, ResourcePatternType.LITERAL, "User:*", "*")
        rules = [(AclOperation.ALL, AclPermissionType.ALLOW), (operation, AclPermissionType.DENY)]
        for made in court.admin.create_acls([AclBinding(*of, *rule) for rule in rules]).values():
            made.result(ANSWER)
        yield
        for gone in court.admin.delete_acls([AclBindingFilter(*of, *rule) for rule in rules]).values():
            gone.result(ANSWER)

    return fault


@contextmanager
def deleted(court: Court) -> Iterator[None]:
    """The topic, once."""
    delete_topics(court.kafka.bootstrap_servers, TOPIC)
    yield


def broken(*which: str) -> Callable[[Court], Begun]:
    """Handlers raise TypeError for everything."""

    @contextmanager
    def fault(court: Court) -> Iterator[None]:
        court.switch.write_text(" ".join(which), encoding="ascii")
        yield
        court.switch.unlink()

    return fault


@contextmanager
def short_of_memory(court: Court) -> Iterator[None]:
    """No process may take more than it has, nor any that starts meanwhile."""
    over = Event()
    limiting = Thread(target=_limit, args=(court, over), daemon=True)
    limiting.start()
    yield
    over.set()
    limiting.join()
    for member in court.scene.fleet.members.values():
        _allow(member.pid, dict.fromkeys(LIMITS, resource.RLIM_INFINITY))


def _limit(court: Court, over: Event) -> None:
    limited: set[int] = set()
    while not over.wait(LOOK):
        for member in court.scene.fleet.members.values():
            if member.is_ready and member.pid not in limited:
                limited.add(member.pid)
                with suppress(FileNotFoundError):
                    pages = Path(f"/proc/{member.pid}/statm").read_text(encoding="ascii").split()
                    _allow(member.pid, {limit: int(pages[at]) * PAGE for limit, at in LIMITS.items()})


def _allow(pid: int, limits: dict[int, int]) -> None:
    with suppress(ProcessLookupError):
        for limit, most in limits.items():
            resource.prlimit(pid, limit, (most, resource.RLIM_INFINITY))


EVERY = (
    *(
        Shared(f"{privilege} revoked on every table", revoked(privilege))
        for privilege in ("SELECT", "INSERT", "UPDATE")
    ),
    Shared("INSERT revoked on outbox", revoked("INSERT", "outbox"), is_variant=True),
    Shared("SELECT revoked on outbox", revoked("SELECT", "outbox"), is_variant=True),
    Shared("UPDATE revoked on messages", revoked("UPDATE", "messages"), is_variant=True),
    Shared("UPDATE revoked on breakers", revoked("UPDATE", "breakers"), is_variant=True),
    Shared("the database read-only", told("default_transaction_read_only = on", of=f"DATABASE {DATABASE}")),
    Shared("the role read-only", told("default_transaction_read_only = on", of=f"ROLE {ROLE}"), is_variant=True),
    Shared("the schema may not be used", shut_out),
    Shared("the disk full", full),
    Shared("no partition", without_partition),
    Shared("a column of messages renamed", renamed("messages", "data_version")),
    Shared("a column of outbox renamed", renamed("outbox", "payload")),
    Shared("the topic may not be written", forbidden(AclOperation.WRITE)),
    Shared("the topic may not be read", forbidden(AclOperation.READ)),
    Shared("nothing may be done with the topic", forbidden(AclOperation.ALL), is_variant=True),
    Shared("the topic deleted", deleted),
    Shared("a topic's handler raises TypeError", broken(HANDLER), is_variant=True),
    Shared("a channel raises TypeError", broken(CHANNEL), is_variant=True),
    Shared("all handlers raise TypeError", broken(HANDLER, CHANNEL)),
    Shared("memory limited", short_of_memory, is_variant=True),
)
