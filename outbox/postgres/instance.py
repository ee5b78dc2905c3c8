"""Which Herald this is, and whether this database is where it was made.

A copy (CREATE DATABASE … TEMPLATE, a dump restored, a base backup promoted) has the same messages under the same ids as
the original, and would send each of them a second time. So every connection compares where it is with what is stored.
"""

from dataclasses import dataclass

from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.fitness import UnfitError
from herald.outbox.postgres.registered import learn_names
from herald.outbox.postgres.statements import execute, fetch_value, find_one
from herald.outbox.settings import Settings

_READ = """
SELECT i.id::text, i.system_identifier, i.database, i.database_name, i.timeline, i.source, i.topic_prefix,
    h.system_identifier, h.database, h.database_name, h.timeline
FROM instance AS i, instance_here() AS h
"""
_NOTE_TIMELINE = """
UPDATE instance AS i SET timeline = h.timeline FROM instance_here() AS h WHERE i.timeline <> h.timeline
"""
_ADOPT = "UPDATE instance SET source = coalesce(source, %s), topic_prefix = coalesce(topic_prefix, %s)"


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster by its system identifier, a database in it by oid and name, and the timeline that is written."""

    system_identifier: str
    database: int
    database_name: str
    timeline: int | None  # None on a standby

    def __str__(self) -> str:
        return f"{self.database_name} (oid {self.database}) of the cluster {self.system_identifier}"


@dataclass(frozen=True, slots=True)
class Instance:
    """What is stored of it (`id`, `home`, settings once a process has started), and where it is now."""

    id: str
    home: Place
    source: str | None
    topic_prefix: str | None
    here: Place


def read_instance(connection: Connection) -> Instance:
    """Raises UnfitError where it cannot be read: who does not know where it is works for nobody."""
    try:
        found = find_one(connection, _READ)
    except (errors.InsufficientPrivilege, errors.UndefinedTable) as error:
        message = f"{error.diag.message_primary}: `herald doctor` names every GRANT that is missing"
        raise UnfitError(message) from None
    if found is None:
        message = "the table instance is empty: restore its row, or run `herald relay --rebase --copied` once"
        raise UnfitError(message)
    return Instance(found[0], Place(*found[1:5]), found[5], found[6], Place(*found[7:]))


def adopt_settings(connection: Connection, settings: Settings) -> None:
    """Store source and prefix of topics of the first process that starts; commits. What is stored stays."""
    # looked at first: an UPDATE of no row is refused as well where the database is read-only
    if find_one(connection, "SELECT FROM instance WHERE source IS NULL OR topic_prefix IS NULL") is not None:
        execute(connection, _ADOPT, settings.source, settings.topic_prefix)
    connection.commit()


def identified(settings: Settings, connection: Connection) -> Settings:
    """Settings that know the instance, with a consumer group of its own unless one is set. Raises UnfitError.

    Now it is also known here which topics and channels others have registered.
    """
    learn_names(connection)
    instance = read_instance(connection).id
    return settings.of_instance(instance, group=default_group(instance))


def default_group(instance_id: str) -> str:
    """Two Heralds on one Kafka do not share one."""
    return f"herald-{instance_id[:8]}"


def stay_home(connection: Connection, settings: Settings) -> None:
    """Refuse a database that is not the one where this Herald was made, or not as it was.

    Before the first migration there is nothing to compare. The connection is in autocommit, or in no transaction.
    Raises UnfitError.
    """
    is_made = fetch_value(connection, "SELECT to_regclass('instance') IS NOT NULL")
    if not is_made:
        return
    instance = read_instance(connection)
    for check in (_elsewhere, _another_timeline, _another_source, _another_prefix):
        if sentence := check(instance, settings):
            raise UnfitError(sentence)


def _elsewhere(instance: Instance, _settings: Settings) -> str | None:
    """Another cluster, or another database of the same one; a new name alone is the same."""
    home, here = instance.home, instance.here
    if (home.system_identifier, home.database) == (here.system_identifier, here.database):
        return None
    return (
        f"this database, {here}, is a copy of {home}: run `herald relay --rebase --moved` once where that one is gone,"
        " or `herald relay --rebase --copied` where it lives on"
    )


def _another_timeline(instance: Instance, settings: Settings) -> str | None:
    """A fail-over, a restored base backup, or a promoted copy beside the original: from inside they are the same."""
    stored, found = instance.home.timeline, instance.here.timeline
    if found == stored or settings.failover == "automatic":
        return None
    return (
        f"this database is on timeline {found} and was on {stored}: run `herald relay --rebase --moved` once after a"
        " fail-over or a restore, `herald relay --rebase --copied` where the original lives on, or set"
        " HERALD_FAILOVER=automatic where nobody promotes copies"
    )


def _another_source(instance: Instance, settings: Settings) -> str | None:
    """Records would be taken for another's."""
    if instance.source in {None, settings.source}:
        return None
    return (
        f"HERALD_SOURCE is {settings.source} here and {instance.source} where this database was first used: set it to"
        f" {instance.source} (or stop every process, set it anew for all, and run `herald relay --rebase --moved` once)"
    )


def _another_prefix(instance: Instance, settings: Settings) -> str | None:
    """Some processes would write to topics that others do not read."""
    stored = instance.topic_prefix
    if stored in {None, settings.topic_prefix}:
        return None
    was, cure = (f"`{stored}`", f"set it to {stored}") if stored else ("empty", "leave it empty")
    return (
        f"HERALD_TOPIC_PREFIX is {f'`{settings.topic_prefix}`' if settings.topic_prefix else 'empty'} here and {was}"
        f" where this database was first used: {cure} (or stop every process, set it anew for all, and run"
        " `herald relay --rebase --moved` once)"
    )


def take_place(connection: Connection, settings: Settings, *, as_copy: bool) -> str:
    """Store where it is and what is set, under the same id or, as a copy, under a new one; returns the id."""
    found = fetch_value(connection, "SELECT instance_takes_place(%s)::text", as_copy)
    execute(connection, "UPDATE instance SET source = %s, topic_prefix = %s", settings.source, settings.topic_prefix)
    return str(found)


def note_timeline(connection: Connection) -> None:
    """Take the present one for this Herald's own: a leader does, once it was let in."""
    execute(connection, _NOTE_TIMELINE)
