"""What Herald keeps: the event log, its projection, and the processes that move them.

Nothing in here knows HTTP handlers or deliveries: `api` and `pipeline` import this package,
never the other way round, and never each other.
"""
