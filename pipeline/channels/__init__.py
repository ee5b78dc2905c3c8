"""The ways to deliver: one module each, named in `outbox.registry.CHANNELS`."""
