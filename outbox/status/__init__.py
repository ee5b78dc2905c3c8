"""`herald status`: where everything stands, from the database and from Kafka."""

from outbox.status.report import command

__all__ = ["command"]
