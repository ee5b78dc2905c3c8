"""What Herald keeps: the event log, its projection, and the processes that move them.

Nothing in here knows HTTP handlers or deliveries: `api` and `pipeline` import this package, never each other. Begin
with `message`, then `moves`. On the top stands what every process has; `operate` and `up` may wait.
"""
