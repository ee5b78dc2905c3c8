"""The process that publishes the outbox to Kafka, and requests again what is due or lost.

One relay is active, any number stand by. The active one holds a session advisory lock; lock,
snapshots, reads and the cursor's saves happen in that one session, so losing the session loses
all of them together, and the next term begins at the stored cursor.

A page is a part of the difference between two snapshots, in the order of positions. It is settled
when Kafka has acknowledged every record in it, or refused one for good; the cursor advances over
settled pages only, in order. What a crash repeats is dropped by the claim.
"""
