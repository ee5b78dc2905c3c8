"""The database as a subject: asked in statements of their own, each with a timeout."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from typing import Any

from herald.outbox.operate.opening import connect_to_look
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_named
from herald.outbox.settings import Settings

NAME = "herald-doctor"
Row = dict[str, Any]


class Database:
    """An open connection in autocommit, and how old something may be before it is a finding, in seconds."""

    def __init__(self, settings: Settings, connection: Connection, patience: float) -> None:
        self.settings = settings
        self.connection = connection
        self.patience = patience

    def ask(self, query: str, **values: object) -> list[Row]:
        """Rows by their columns' names. Raises PostgresError."""
        return fetch_named(self.connection, query, values)

    def row(self, query: str, **values: object) -> Row:
        """The only row. Raises PostgresError."""
        (found,) = self.ask(query, **values)
        return found

    @contextmanager
    def another(self) -> Iterator[Connection]:
        """A second connection beside the first."""
        with closing(connect_to_look(self.settings, NAME)) as connection:
            yield connection

    @cached_property
    def role(self) -> str:
        """Quoted, as it stands in a GRANT."""
        return str(self.row("SELECT quote_ident(current_user) AS role")["role"])

    @cached_property
    def schema(self) -> str:
        """Herald's, quoted: an advice is followed by whoever may, with a search path of his own."""
        return str(self.row("SELECT quote_ident(%(name)s) AS name", name=self.settings.database_schema)["name"])

    @cached_property
    def sees_everybody(self) -> bool:
        """Whether what other roles do is shown to this one."""
        return bool(self.row("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees")["sees"])

    @property
    def to_see_everybody(self) -> str:
        """The statement that shows this role what others do."""
        return f"GRANT pg_read_all_stats TO {self.role};"
