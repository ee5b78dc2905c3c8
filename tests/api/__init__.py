"""The API: with a fake committer where only HTTP matters, on real PostgreSQL elsewhere."""
