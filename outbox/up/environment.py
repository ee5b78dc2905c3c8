"""What the environment says, and what `herald up` tells its children and the next terminal."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from psycopg2.extensions import parse_dsn
from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LIBPQ = {
    "PGHOST": "host",
    "PGPORT": "port",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGDATABASE": "dbname",
    "PGSSLMODE": "sslmode",
    "PGOPTIONS": "options",
}


class Given(BaseSettings):
    """What the environment or `.env` already decides; None: not given, so `herald up` brings its own."""

    model_config = SettingsConfigDict(env_prefix="HERALD_", env_file=".env", extra="ignore", env_ignore_empty=True)

    database_url: str | None = Field(default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    kafka_bootstrap_servers: str | None = Field(
        default=None, validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS", "kafka_bootstrap_servers")
    )
    host: str = "127.0.0.1"
    port: int = 8000


def child_environment(servers: Mapping[str, str], own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what every child gets: our environment, the servers, and logs that we can read."""
    return {**own, **servers, "HERALD_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}


def shell_file(servers: Mapping[str, str], psql: Path | None, own: Mapping[str, str] = os.environ) -> str:
    """Return a POSIX shell script that makes another terminal reach the same servers.

    `psql` is the folder of a psql for those who have none. Kafka's and Herald's settings of this environment are
    repeated: without them a secured Kafka, or another consumer group, would be out of reach.
    """
    kept = {name: value for name, value in own.items() if name.startswith(("KAFKA_", "HERALD_"))}
    exported = {**kept, **servers, **libpq_variables(servers["DATABASE_URL"])}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(exported.items())]
    lines.append(_on_path(Path(sys.executable).parent))
    if psql:
        lines.append(f"command -v psql >/dev/null 2>&1 || {_on_path(psql)}")
    return "# Made by `herald up`; to be read by a shell: source this file\n" + "\n".join(lines) + "\n"


def libpq_variables(url: str) -> dict[str, str]:
    """Return the PG… variables with which plain `psql` reaches the database of a URL."""
    parts = parse_dsn(for_libpq(url))
    return {name: parts[keyword] for name, keyword in LIBPQ.items() if parts.get(keyword)}


def for_libpq(url: str) -> str:
    """Return the URL as psql understands it too: without the name of a driver."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql{separator}{rest}" if scheme.startswith("postgres") else url


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all; it may hold passwords."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.rename(path)


def _on_path(folder: Path) -> str:
    quoted = shlex.quote(str(folder))
    return f'case ":$PATH:" in *:{quoted}:*) ;; *) export PATH={quoted}:"$PATH" ;; esac'
