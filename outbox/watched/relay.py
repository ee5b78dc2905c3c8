"""What a relay counts, and what the leading one finds in the database and in Kafka."""

from herald.outbox.watched.metrics import FEW, Metrics

METRICS = Metrics()

LEADS = METRICS.gauge("herald_relay_leads", "1 where it leads, 0 where it stands by or waits")
TERMS = METRICS.counter("herald_relay_terms_total", "Terms that it began as the leader")
PUBLISHED = METRICS.counter("herald_published_records_total", "Records that Kafka has acknowledged")
NOT_PUBLISHED = METRICS.counter(
    "herald_not_published_records_total", "Rows of the log passed by: refused for good, or set aside for a person"
)
PAGE_SECONDS = METRICS.histogram(
    "herald_page_seconds", "A page of the log, from the producer to its last acknowledgement"
)
DUTY_SECONDS = METRICS.histogram("herald_duty_seconds", "A turn of a duty of the scheduler", "duty", buckets=FEW)
DUTY_FAILURES = METRICS.counter("herald_duty_failures_total", "Turns of a duty that failed", "duty")
DUTY_EVENTS = METRICS.counter(
    "herald_duty_events_total",
    "Events that a duty left to be published: `due` requests what was retried, postponed or scheduled",
    "duty",
)
EXPIRED_MESSAGES = METRICS.counter("herald_expired_messages_total", "Messages whose deliver_by passed")
LEASES_ENDED = METRICS.counter(
    "herald_leases_ended_total",
    "Attempts whose lease ended without an outcome, by the message's status after it: failed (repeated), unknown, dead",
    "status",
)

UNPUBLISHED_OLDEST = METRICS.known(
    "herald_unpublished_oldest_seconds",
    "Since when the relay can see the oldest row that the cursor has not passed, 0 without one; up to 10 s too much of"
    " a transaction that was open for long",
)
CURSOR_AGE = METRICS.known(
    "herald_cursor_age_seconds", "Since the cursor was saved; grows where nothing is to be published, too"
)
DUE_OLDEST = METRICS.known(
    "herald_due_oldest_seconds",
    "For how long the oldest date of a message has been past that stands in no line; 0 without one",
)
WAITING = METRICS.known(
    "herald_waiting_messages",
    "Messages that wait for a date, and those that wait in line, the 1,000 that come first of each; by the code of"
    " their reason",
    "reason",
)
BLOCKED_KEYS = METRICS.known(
    "herald_blocked_keys",
    "Keys of strict topics that have messages behind one that is not over; of each topic 1,000 keys are looked at",
)
DEAD_LETTERS = METRICS.known(
    "herald_dead_letters", "Messages that wait for a person, dead or unknown; counted up to 10,000", "status"
)
OPEN_BREAKERS = METRICS.known("herald_open_breakers", "Destinations that are left alone; counted up to 10,000")
PAUSES = METRICS.known("herald_pauses", "Pauses that a person has set")
WITHHELD_PARTITIONS = METRICS.known(
    "herald_withheld_partitions", "Partitions, and whole topics, that Kafka does not take now"
)
WITHHELD_RECORDS = METRICS.known("herald_withheld_records", "Records that wait for those, as the relay counts them")
HORIZON = METRICS.known(
    "herald_horizon_seconds",
    "Since when vacuum has to keep what dies, by the kind of who holds it back: session, standby, prepared (a"
    " transaction), slot; 0 where none does",
    "held_by",
)
PARTITIONS_AHEAD = METRICS.known(
    "herald_partitions_ahead_seconds", "For how long ahead there are partitions of both tables"
)
SET_ASIDE = METRICS.known("herald_set_aside_rows", "Rows of the log that wait for a person; counted up to 10,000")
LAG = METRICS.known(
    "herald_lag_records",
    "Records that the pipeline's group has not read, as of the last search for lost ones",
    "topic",
    "partition",
)
LOOKED = METRICS.known("herald_looked_timestamp_seconds", "When the database was last asked for the gauges above")
