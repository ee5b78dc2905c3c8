"""The database as a subject: asked in statements of their own, each with a timeout."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_named, fetch_value
from herald.outbox.settings import Settings

NAME = "herald-doctor"
Row = dict[str, Any]


@dataclass(frozen=True)
class Database:
    """An open connection in autocommit, and how old something may be before it is a finding, in seconds.

    Everything raises PostgresError.
    """

    settings: Settings
    connection: Connection
    patience: float

    def ask(self, query: str, **values: object) -> list[Row]:
        """Rows by their columns' names."""
        return fetch_named(self.connection, query, values)

    def row(self, query: str, **values: object) -> Row:
        """The only row."""
        (found,) = self.ask(query, **values)
        return found

    @cached_property
    def role(self) -> str:
        """Quoted, as it stands in a GRANT."""
        return str(fetch_value(self.connection, "SELECT quote_ident(current_user)"))

    @cached_property
    def schema(self) -> str:
        """Herald's, quoted: an advice is followed by whoever may, with a search path of his own."""
        return str(fetch_value(self.connection, "SELECT quote_ident(%s)", self.settings.database_schema))

    @cached_property
    def sees_everybody(self) -> bool:
        """Whether what other roles do is shown to this one."""
        return bool(fetch_value(self.connection, "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')"))
