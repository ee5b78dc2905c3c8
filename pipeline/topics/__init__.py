"""The topics with a consumer: one module each, named in `outbox.registry.TOPICS`."""
