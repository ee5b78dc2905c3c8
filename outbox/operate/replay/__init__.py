"""`herald replay`: publishes again what the log once published on a topic.

For a consumer that lost its data, or has a bug behind it. Records are the same to the byte, `ce_id` included, so
that a consumer which knows them can drop them. Herald's own pipeline does: their requests are no longer open.
"""
