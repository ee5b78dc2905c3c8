"""The topics with a consumer: one module each, named in `herald.outbox.registry.TOPICS`."""
