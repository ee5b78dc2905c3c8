"""The real servers of the tests and benchmarks: PostgreSQL, both brokers, Herald's own processes."""
