"""What the leading relay does every few minutes: one module each, named in `herald.outbox.registry.TASKS`."""
