"""What a pipeline counts."""

from herald.outbox.watched.metrics import Metrics

METRICS = Metrics()

ROUNDS = METRICS.counter(
    "herald_pipeline_rounds_total", "Times that it began to consume: at its start, and after each outage that was long"
)
WINDOW_SECONDS = METRICS.histogram(
    "herald_window_seconds", "How long a window waited at its end until all of it was claimed"
)
RECORDS = METRICS.counter("herald_read_records_total", "Records that were claimed, dropped or dead-lettered")
WRITE_SECONDS = METRICS.histogram(
    "herald_write_seconds", "A pass of the worker: outcomes recorded and requests claimed in one transaction"
)
CLAIMED = METRICS.counter("herald_claimed_messages_total", "Attempts that were won")
ADOPTED = METRICS.counter("herald_adopted_messages_total", "Of those the first ones of other producers' messages")
RETRIES = METRICS.counter("herald_retries_total", "Of those the ones after another that counts")
ATTEMPTS = METRICS.counter(
    "herald_attempts_total",
    "Calls made, and attempts given back, by their outcome (sent, failed, unknown, postponed, dead) and its code; the"
    " destination is empty unless HERALD_METRICS_DESTINATIONS asks for it",
    "channel",
    "outcome",
    "code",
    "destination",
)
ATTEMPT_SECONDS = METRICS.histogram("herald_attempt_seconds", "A call", "channel")
LATE = METRICS.counter(
    "herald_late_outcomes_total", "Outcomes that came after a newer attempt or after the end, and changed nothing"
)
DEAD_LETTERED = METRICS.counter("herald_dead_lettered_records_total", "Records that could not be decoded or stored")
OPEN = METRICS.gauge("herald_open_attempts", "Attempts claimed and not yet recorded")
