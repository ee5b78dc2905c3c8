"""Alerts and runbooks of deploy/ and docs/ on a Herald that runs, with a Prometheus beside it."""
