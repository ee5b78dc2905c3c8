"""What the server refuses before any handler sees it: answered, counted, and logged now and then."""

from collections import Counter
from http import HTTPStatus
from typing import Literal

import httptools
import structlog

from herald.api.http.problems import MEDIA_TYPE, ProblemError
from herald.outbox.watched.api import ACCESS_REFUSED, REFUSED

REPORT_EVERY = 10.0  # seconds between two log lines about refusals of one kind, however many there are
STATUS = {  # of what is its client's fault; else 503
    "malformed": HTTPStatus.BAD_REQUEST,
    "slow header": HTTPStatus.REQUEST_TIMEOUT,
    "slow body": HTTPStatus.REQUEST_TIMEOUT,
    "body too large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "header too long": HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
}
Reason = Literal["no_key", "wrong_key", "expired_key", "revoked_key", "scope", "topic", "foreign_page"]
_log = structlog.get_logger()


class LimitError(ProblemError):
    """A request breaks a limit, or the protocol; it ends with this answer. Refusals are counted by `kind`."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(STATUS.get(kind, HTTPStatus.SERVICE_UNAVAILABLE), detail)
        self.kind = kind

    @property
    def response(self) -> bytes:
        """A whole HTTP response, after which the connection ends."""
        body = self.body
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            "connection: close",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*head, "", ""]).encode() + body


class Refusals:
    """How many of each kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._told_at: dict[str, float] = {}

    def count(self, kind: str, now: float) -> None:
        """One more that broke a limit."""
        REFUSED.labels(kind).inc()
        self._note(kind, now)

    def count_access(self, reason: Reason, detail: str, now: float) -> None:
        """One more that may not have what it asked for: the log says who asked, the metrics do not."""
        ACCESS_REFUSED.labels(reason).inc()
        self._note(detail, now)

    def _note(self, kind: str, now: float) -> None:
        """The first of its kind is logged at once."""
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


def header_too_long(limit: int) -> LimitError:
    """Its length is counted over all names and values."""
    return LimitError("header too long", f"the header is longer than the limit of {limit} bytes")


def no_place(limit: int) -> LimitError:
    """For one more connection."""
    return LimitError("connections", f"all {limit} connections are taken, try again")


def not_read(error: BaseException) -> LimitError:
    """503 for what fails while a request is read: only what the parser says of the request is its client's fault."""
    cause, is_ours = error.__context__, isinstance(error, httptools.HttpParserCallbackError)
    if is_ours and cause is not None and not isinstance(cause, ValueError | httptools.HttpParserError):
        error = cause  # the parser hides what its callbacks raise
    elif isinstance(error, httptools.HttpParserError):
        return LimitError("malformed", "this is not HTTP/1.1")
    _log.error("request_not_read", reason=str(error) or type(error).__name__, exc_info=error)
    return LimitError("not read", "the server cannot read this now; the log says why, try again")
