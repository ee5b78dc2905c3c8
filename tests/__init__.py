"""The tests read as the specification; the servers they run on are in `tests.servers`."""
