"""How long deliveries took, by the database's clock."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

TENTHS_BELOW = 100  # milliseconds from which tenths say nothing


def seconds_to_deliver(notification: Mapping[str, Any]) -> float:
    """Return the seconds between acceptance and delivery of a sent notification as the API shows it."""
    created, sent = (datetime.fromisoformat(notification[name]) for name in ("created_at", "sent_at"))
    return (sent - created).total_seconds()


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of the values do not exceed; values are not empty."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def result_line(seconds: Sequence[float], total: int) -> str:
    """Say how many of `total` were delivered and how fast."""
    if not seconds:
        return f"0 of {total} delivered"
    p50, p99 = (_milliseconds(percentile(seconds, share)) for share in (0.5, 0.99))
    return f"{len(seconds)} of {total} delivered, p50 {p50}, p99 {p99} from POST to delivered"


def _milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.1f} ms" if value < TENTHS_BELOW else f"{value:,.0f} ms"
