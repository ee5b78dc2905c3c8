"""HTTP in: handlers that turn requests into commands and queries.

`routes`, `shapes` and `http` are its rooms; `process` and `app` put them together.
"""
