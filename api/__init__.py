"""HTTP in: Litestar handlers that turn requests into commands and queries."""
