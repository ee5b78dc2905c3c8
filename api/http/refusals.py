"""What the server refuses before any handler sees it: answered, counted, and logged now and then."""

from collections import Counter
from http import HTTPStatus

import msgspec
import structlog

from herald.api.http.problems import MEDIA_TYPE, RETRY_AFTER, Problem

REPORT_EVERY = 10.0  # seconds between two log lines about refusals of one kind, however many there are
_log = structlog.get_logger()


class Refusals:
    """How many of each kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._told_at: dict[str, float] = {}

    def count(self, kind: str, now: float) -> None:
        """One more; the first of its kind is logged at once."""
        self.counts[kind] += 1
        self._untold[kind] += 1
        self.report(now)

    def report(self, now: float) -> None:
        """Log what was not told yet, each kind every 10 seconds at most."""
        for kind, count in list(self._untold.items()):
            if now - self._told_at.get(kind, -REPORT_EVERY) >= REPORT_EVERY:
                _log.warning("requests_refused", reason=kind, count=count, since_start=self.counts[kind])
                self._told_at[kind] = now
                del self._untold[kind]


def refusal(status: HTTPStatus, detail: str) -> bytes:
    """A whole HTTP response, after which the connection ends."""
    body = msgspec.json.encode(Problem(title=status.phrase, status=status.value, detail=detail))
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        head.append(f"retry-after: {RETRY_AFTER}")
    return "\r\n".join([*head, "", ""]).encode() + body
