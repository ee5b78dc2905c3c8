"""What ends a round of the pipeline, and not its process."""


class OutageError(Exception):
    """A server was away for too long, or is another one now: the next round begins with new clients."""
