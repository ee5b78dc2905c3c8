"""Logs of many messages, loaded once for each schema and kept in the cluster of the cache."""

import hashlib
import subprocess
from inspect import getsource

import click

from benchmarks import letters
from benchmarks.costs import histories
from benchmarks.stage import Stage

KEPT = 6  # databases: of three sides the large one and the small one
ALIKE = ("--", "\\restrict", "\\unrestrict")  # lines of a dump that say nothing of the schema
EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %(name)s)"
LEFT = "SELECT datname FROM pg_database WHERE datname LIKE 'bench\\_%'"
OTHERS = """
SELECT datname FROM pg_database WHERE datname LIKE 'log\\_%%' AND datname <> ALL (%(used)s)
ORDER BY oid DESC OFFSET %(kept)s
"""


def sweep(stage: Stage) -> None:
    """Remove what a run that was killed left behind."""
    stage.server.execute("ALTER SYSTEM RESET ALL")
    stage.server.execute("SELECT pg_reload_conf()")
    for (name,) in stage.fetch("postgres", LEFT):
        stage.drop(name)


def loaded(stage: Stage, count: int) -> str:
    """The database that has a log of so many messages and the schema of this side; to be copied, never changed.

    It is loaded beside the others and named last: one that was interrupted is not taken for a whole one.
    """
    fresh = stage.database()
    name = f"log_{count}_{_digest(stage, fresh)}"
    [(exists,)] = stage.fetch("postgres", EXISTS, {"name": name})
    if exists:
        stage.drop(fresh)
        return name
    click.echo(f"loading a log of {count:,} messages for {stage.side.name}", err=True)
    histories.load(stage.server.url(fresh), count)
    stage.server.execute(f"ALTER DATABASE {fresh} RENAME TO {name}")
    stage.server.execute("CHECKPOINT")
    return name


def forget(stage: Stage, used: list[str]) -> None:
    """Keep what was used and the newest others, and drop the rest."""
    for (name,) in stage.fetch("postgres", OTHERS, {"used": used, "kept": max(0, KEPT - len(used))}):
        stage.drop(name)


def _digest(stage: Stage, database: str) -> str:
    """Of the schema, in which the partitions name the month, and of what makes the rows."""
    found = hashlib.sha256()
    for options in (["--schema-only"], ["--inserts", "--table=*.alembic_version"]):
        command = [str(stage.server.tool("pg_dump")), *options, stage.server.url(database)]
        dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found.update("\n".join(line for line in dump.splitlines() if not line.startswith(ALIKE)).encode())
    for module in (histories, letters):
        found.update(getsource(module).encode())
    return found.hexdigest()[:12]
