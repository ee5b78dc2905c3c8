"""The ways to deliver: one module or folder each, named in `herald.outbox.registry.CHANNELS`.

They do not know each other.
"""
