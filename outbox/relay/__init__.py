"""The process that publishes the outbox to Kafka, and requests again what is due or lost.

Begin with `process`, then `reader` and `term`. What is withheld, unreadable or set aside may wait, `rebase` too.
"""
