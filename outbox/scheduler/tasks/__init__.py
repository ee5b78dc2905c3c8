"""What the leading relay does every few minutes: one module each, named in `herald.outbox.registry.TASKS`.

A task is a function `run(connection)`; the connection is in autocommit. What it raises is logged, and it
runs again at its next turn. One that takes long holds up other tasks only.
"""
