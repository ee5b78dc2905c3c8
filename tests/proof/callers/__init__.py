"""An outbox in everybody's own transaction: what it promises to callers, shown with programs as they write them.

`python -m tests.proof.callers` runs each proof for long and writes its report into docs/proof.md.
"""
