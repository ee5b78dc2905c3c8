"""PostgreSQL: connections and what its errors mean, the tables, the log and reads.

Begin with `driver`, `statements`, `connections` and `schema`. Where Herald cannot work, and that nobody else has its
session, may wait: `fitness`, `instance`, `pooler`, `session_settings`.
"""
