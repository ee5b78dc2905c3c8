"""From many requests to one COMMIT: a thread writes their commands, each is answered after it.

Begin with `committer`; `idempotency` and `expired_keys` may wait.
"""
