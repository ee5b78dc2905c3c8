"""What an API counts; of several processes their supervisor answers for all."""

from herald.outbox.watched.metrics import Metrics

METRICS = Metrics()

REQUESTS = METRICS.counter(
    "herald_api_requests_total", "Requests that a handler answered, health among them", "method", "route", "status"
)
REQUEST_SECONDS = METRICS.histogram("herald_api_request_seconds", "From a request's header to its answer", "route")
REFUSED = METRICS.counter(
    "herald_api_refused_total", "Requests and connections refused by a limit before any handler saw them", "reason"
)
ACCESS_REFUSED = METRICS.counter(
    "herald_api_access_refused_total",
    "Requests refused for who asked: no_key, wrong_key, expired_key, revoked_key, scope, topic, foreign_page",
    "reason",
)
ACCEPTED = METRICS.counter("herald_accepted_messages_total", "Messages that were committed, and answered with 202")
REPEATED = METRICS.counter(
    "herald_repeated_requests_total", "Requests answered as the first time, by their Idempotency-Key"
)
COMMIT_SECONDS = METRICS.histogram(
    "herald_commit_seconds", "A transaction of the committer, with as many requests as were there"
)
NOT_COMMITTED = METRICS.counter(
    "herald_not_committed_requests_total", "Requests that could not be written: refused (422), or to be repeated (503)"
)
