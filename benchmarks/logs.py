"""Logs of many messages, loaded once for each schema and kept in the cluster of the cache."""

import hashlib
import subprocess
from collections.abc import Callable
from inspect import getsource
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import click

from benchmarks import letters
from benchmarks.histories import loading, rows, stories
from benchmarks.stage import Stage
from herald.outbox.up.placement import account_for, may

KEPT = 6  # databases: one of each size, or of three sides the large one and the small one
ALIKE = ("--", "\\restrict", "\\unrestrict")  # lines of a dump that say nothing of the schema
EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %(name)s)"
DROP_SLOTS = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
LEFT = "SELECT datname FROM pg_database WHERE datname LIKE 'bench\\_%'"
OTHERS = """
SELECT datname FROM pg_database WHERE datname LIKE 'log\\_%%' AND datname <> ALL (%(used)s)
ORDER BY oid DESC OFFSET %(kept)s
"""


class Kind(NamedTuple):
    """How a log is filled, by its database's URL and the number of messages, and the modules that decide its rows."""

    load: Callable[[str, int], None]
    modules: tuple[ModuleType, ...]


REAL = Kind(loading.load, (loading, rows, stories, letters))


def cluster(cache: Path) -> Path | None:
    """Where logs are kept, unless PostgreSQL's account cannot come there: then they are made each time."""
    cache.mkdir(parents=True, exist_ok=True)
    if not may(account_for(cache), "test", "-x", cache):
        click.echo(f"nothing is kept: {cache} is closed to the account that PostgreSQL runs as", err=True)
        return None
    return cache / "postgresql-18"


def sweep(stage: Stage) -> None:
    """Remove what a run that was killed left behind."""
    stage.fetch("postgres", DROP_SLOTS)
    stage.server.execute("ALTER SYSTEM RESET ALL")
    stage.server.execute("SELECT pg_reload_conf()")
    for (name,) in stage.fetch("postgres", LEFT):
        stage.drop(name)


def loaded(stage: Stage, count: int, kind: Kind = REAL) -> str:
    """The database that has a log of so many messages and the schema of this side; to be copied, never changed.

    It is loaded beside the others and named last: one that was interrupted is not taken for a whole one.
    """
    fresh = stage.database()
    name = f"log_{count}_{_digest(stage, fresh, kind)}"
    [(exists,)] = stage.fetch("postgres", EXISTS, {"name": name})
    if exists:
        stage.drop(fresh)
        return name
    click.echo(f"loading a log of {count:,} messages for {stage.side.name}", err=True)
    kind.load(stage.server.url(fresh), count)
    stage.server.execute(f"ALTER DATABASE {fresh} RENAME TO {name}")
    stage.server.execute("CHECKPOINT")
    return name


def forget(stage: Stage, used: list[str]) -> None:
    """Keep what was used and the newest others, and drop the rest."""
    for (name,) in stage.fetch("postgres", OTHERS, {"used": used, "kept": max(0, KEPT - len(used))}):
        stage.drop(name)


def _digest(stage: Stage, database: str, kind: Kind) -> str:
    """Of the schema, in which the partitions name the month, and of what makes the rows."""
    found = hashlib.sha256()
    for options in (["--schema-only"], ["--inserts", "--table=*.alembic_version"]):
        command = [str(stage.server.tool("pg_dump")), *options, stage.server.url(database)]
        dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found.update("\n".join(line for line in dump.splitlines() if not line.startswith(ALIKE)).encode())
    for module in kind.modules:
        found.update(getsource(module).encode())
    return found.hexdigest()[:12]
