"""Breakers: a destination that keeps failing is left alone, probed now and then, and taken up again slowly.

A row exists only for a destination in trouble, shared by all workers and kept across restarts.
Counting: so many failures in a row open it. Open: claims postpone, without an attempt; from `probe_at`
on one message at a time is tried, and its lease (`probe_until`) frees the place when its worker dies.
Recovering (`closed_at`): the scheduler releases what waited, twice as much every second.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec
import structlog

from herald.outbox.moves.record import Outcome
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import fetch
from herald.outbox.settings import Settings

EVENTS = {"opened": "breaker_opened", "probe failed": "breaker_probe_failed", "closed": "breaker_closed"}
RAMP_SECONDS = 10  # of releasing twice as much every second; then nothing is held back any more
_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger()


class BreakerPolicy(NamedTuple):
    """`failures` in a row open a breaker; the first probe comes after `base` seconds, later ones up to `cap`."""

    failures: int
    base: float
    cap: float


class Report(msgspec.Struct, kw_only=True):
    """What a batch of outcomes says of one destination.

    `failures`: since its last success in the batch. `failed` and `returned` are messages: the probe may
    be among them. `is_well`: it took or refused something, so it works.
    """

    destination: str
    failures: int = 0
    is_well: bool = False
    failed: list[UUID] = []
    returned: list[UUID] = []
    reason: str | None = None


def policy_of(settings: Settings) -> BreakerPolicy:
    """The policy that the settings describe."""
    return BreakerPolicy(settings.breaker_failures, settings.breaker_base, settings.breaker_cap)


def reports(outcomes: Iterable[Outcome]) -> list[Report]:
    """One report per destination that somebody counts, in the order of its name."""
    found: dict[str, Report] = {}
    for outcome in outcomes:
        if outcome.destination is not None:
            _add(found.setdefault(outcome.destination, Report(destination=outcome.destination)), outcome)
    return [found[name] for name in sorted(found)]


def _add(report: Report, outcome: Outcome) -> None:
    if outcome.outcome == "postponed":
        report.returned.append(outcome.id)
    elif outcome.is_fault:
        report.failures += 1
        report.failed.append(outcome.id)
        report.reason = outcome.reason
    else:
        report.is_well, report.failures = True, 0


_REPORT = prepare(
    "report",
    """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
report AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(reports)s::jsonb) AS r(destination text, failures integer, is_well boolean,
        failed uuid[], returned uuid[], reason text)
),
known AS MATERIALIZED (
    SELECT b.* FROM breakers AS b WHERE b.destination IN (SELECT destination FROM report)
    ORDER BY b.destination FOR NO KEY UPDATE
),
forgotten AS (
    DELETE FROM breakers AS b USING report AS r
    WHERE b.destination = r.destination AND b.opened_at IS NULL AND b.closed_at IS NULL
      AND r.is_well AND r.failures = 0
),
counted AS (
    SELECT r.destination, r.failures, r.reason, r.is_well, k.opened_at, k.closed_at, k.probes,
           k.opened_at IS NOT NULL AND NOT r.is_well AND k.probe_id = ANY (r.failed) AS probe_failed,
           k.opened_at IS NOT NULL AND k.probe_id = ANY (r.returned) AS probe_returned,
           CASE WHEN r.is_well THEN 0 ELSE coalesce(k.failures, 0) END + r.failures AS total
    FROM report AS r LEFT JOIN known AS k ON k.destination = r.destination
),
closed AS (
    UPDATE breakers AS b
    SET opened_at = NULL, probe_at = NULL, probe_id = NULL, probe_until = NULL, probes = 0, failures = c.failures,
        closed_at = clock.at, released = 0, reason = NULL
    FROM counted AS c, clock
    WHERE b.destination = c.destination AND c.opened_at IS NOT NULL AND c.is_well
    RETURNING b.destination, 'closed' AS change, NULL::text AS reason
),
probed AS (
    UPDATE breakers AS b
    SET probes = b.probes + c.probe_failed::integer, probe_id = NULL, probe_until = NULL,
        probe_at = CASE WHEN c.probe_failed
            THEN clock.at + make_interval(secs => least(%(cap)s, %(base)s * 2.0 ^ least(b.probes + 1, 30)))
            ELSE b.probe_at END,
        reason = coalesce(c.reason, b.reason)
    FROM counted AS c, clock
    WHERE b.destination = c.destination AND c.opened_at IS NOT NULL AND NOT c.is_well
      AND (c.probe_failed OR c.probe_returned)
    RETURNING b.destination, CASE WHEN c.probe_failed THEN 'probe failed' END AS change, b.reason
),
counting AS (
    INSERT INTO breakers (destination, failures, opened_at, probe_at, reason)
    SELECT destination, total, CASE WHEN total >= %(failures)s THEN at END,
           CASE WHEN total >= %(failures)s THEN at + make_interval(secs => %(base)s) END, reason
    FROM counted, clock
    WHERE opened_at IS NULL AND failures > 0
    ORDER BY destination
    ON CONFLICT (destination) DO UPDATE
    SET failures = excluded.failures, reason = excluded.reason, opened_at = excluded.opened_at,
        probe_at = excluded.probe_at, probes = 0, released = 0,
        closed_at = CASE WHEN excluded.opened_at IS NULL THEN breakers.closed_at END
    WHERE breakers.opened_at IS NULL
    RETURNING destination, CASE WHEN opened_at IS NOT NULL THEN 'opened' END AS change, reason
)
SELECT * FROM closed UNION ALL SELECT * FROM probed UNION ALL SELECT * FROM counting
""",
    reports="text",
    base="float8",
    cap="float8",
    failures="integer",
)


def report_outcomes(connection: Connection, outcomes: Sequence[Outcome], policy: BreakerPolicy) -> None:
    """Count, open and close, in the caller's transaction and after `record_outcomes`."""
    found = reports(outcomes)
    if not found:
        return
    values = {"reports": _encode(found).decode(), **policy._asdict()}
    for destination, change, reason in fetch(connection, _REPORT, values):
        if change is not None:
            level = _log.info if change == "closed" else _log.warning
            level(EVENTS[change], destination=destination, reason=reason)
