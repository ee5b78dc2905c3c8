"""The dead letters of the desk, for its command."""

from tests.outbox.desk.conftest import bury, connection

__all__ = ["bury", "connection"]
