"""What the environment says, and what `herald up` tells its children and the next terminal."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from herald.outbox.postgres.driver import parse_dsn
from herald.outbox.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Given(Settings):
    """What the environment or `.env` already decides; where a server's address is empty, `herald up` brings its own."""

    model_config = SettingsConfigDict(env_ignore_empty=True, validate_default=False)

    database_url: str = Field("", validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    kafka_bootstrap_servers: str = Field("", validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS"))


def is_open(given: Settings) -> bool:
    """Whether the API takes whoever comes: as the setting says, else where database and callers are of this machine."""
    if "open" in given.model_fields_set:
        return given.open == "yes"
    return not given.database_url and given.host in LOOPBACK


def child_environment(servers: Mapping[str, str], own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What every child gets: our environment, the servers, and logs that we can read."""
    return {**own, **servers, "HERALD_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}


def shell_file(servers: Mapping[str, str], psql: Path | None, own: Mapping[str, str] = os.environ) -> str:
    """A POSIX shell script that makes another terminal reach the same servers.

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
    """The PG… variables with which plain `psql` reaches the database of a URL."""
    return {f"PG{'DATABASE' if name == 'dbname' else name.upper()}": value for name, value in parse_dsn(url).items()}


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all; it may hold passwords."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        file.write(text)
    Path(file.name).rename(path)


def _on_path(folder: Path) -> str:
    quoted = shlex.quote(str(folder))
    return f'case ":$PATH:" in *:{quoted}:*) ;; *) export PATH={quoted}:"$PATH" ;; esac'
