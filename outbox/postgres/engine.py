"""A pool of connections for those who read; by itself, as importing SQLAlchemy takes a fifth of a second."""

from sqlalchemy import Engine, create_engine

from herald.outbox.postgres.connections import connect_watched
from herald.outbox.settings import Settings


def make_engine(settings: Settings, application_name: str) -> Engine:
    """A pool of `pool_size` connections for reads; a checkout waits `connect_timeout` seconds at most."""
    return create_engine(
        "postgresql+psycopg2://",
        creator=lambda: connect_watched(settings, application_name),
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=settings.connect_timeout,
        hide_parameters=True,  # an error would quote what a message carries
    )
