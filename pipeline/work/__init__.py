"""The one thread that touches the database: it records outcomes, claims, and hands over what it won.

Begin with `worker` and `ledger`.
"""
