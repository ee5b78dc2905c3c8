"""A Herald that runs, and a login of callers with a table of theirs in the same database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from herald.outbox.postgres.statements import fetch, fetch_value
from tests.outbox.connections import connected
from tests.proof.callers.agreement import Found, look
from tests.proof.callers.plans import TABLES
from tests.proof.faults.fleet import HURRIED, Fleet
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer

LOGIN = "shop"
SETTLED = 120.0  # seconds until all that was committed is sent
PREPARED = {"max_prepared_transactions": "100"}
_LEFT = "SELECT status, count(*) FROM messages WHERE status NOT IN ('sent', 'cancelled', 'dead') GROUP BY status"


@dataclass(frozen=True)
class Stage:
    """Herald's processes, which are started again where they end, and the server that they and the callers share."""

    fleet: Fleet
    server: PostgresServer
    kafka: str
    keeps_records: bool

    @property
    def database(self) -> str:
        return self.fleet.settings["DATABASE_URL"]

    @property
    def callers_url(self) -> str:
        """For the login of the callers."""
        return self.database.replace("postgres@", f"{LOGIN}@", 1)

    def restart(self) -> None:
        """PostgreSQL, while Herald runs."""
        self.server.stop()
        self.server.start()

    def settled(self) -> Found:
        """What there is once everything has ended and was published."""
        eventually(self._is_over, SETTLED, what="all that was committed is sent")
        return look(self.database, self.kafka, keeps_records=self.keeps_records)

    def visible(self, orders: list[int]) -> int:
        """How many messages of these orders anybody can see."""
        with connected(self.database) as connection:
            found = fetch_value(
                connection, "SELECT count(*) FROM outbox WHERE (data ->> 'order')::integer = ANY (%s)", orders
            )
        return int(found)

    def _is_over(self) -> bool:
        self.fleet.revive()
        with connected(self.database) as connection:
            left: dict[str, int] = dict(fetch(connection, _LEFT))
        assert not left, left
        return True


@contextmanager
def staged(
    folder: Path, server: PostgresServer, kafka: str, settings: dict[str, str], *, keeps_records: bool = True
) -> Iterator[Stage]:
    """On a server whose database `postgres` is migrated."""
    server.execute(TABLES.format(login=LOGIN))
    fleet = Fleet(folder, server.url(), kafka, of_each=1, settings={**HURRIED, **settings})
    with fleet.running():
        yield Stage(fleet, server, kafka, keeps_records)
