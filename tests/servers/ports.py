"""Free TCP ports: as `herald up` finds them."""

from herald.outbox.up.broker import accepts, free_port

__all__ = ["accepts", "free_port"]
