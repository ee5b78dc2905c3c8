"""The part of `herald audit` that reads other producers' records as the pipeline does, and its command.

It is here and not in `outbox/operate/audit/` because `outbox` must not know the pipeline, whose decoder alone
tells under which id such a record is adopted.
"""
