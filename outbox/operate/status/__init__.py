"""`herald status`: where everything stands, from the database and from Kafka."""

from herald.outbox.operate.status.report import command

__all__ = ["command"]
