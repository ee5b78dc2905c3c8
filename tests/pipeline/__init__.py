"""The pipeline: from a record on a topic to an outcome in the database."""
