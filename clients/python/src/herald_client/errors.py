"""What goes wrong, typed. Programs decide by the class or its `code`, people read the text."""

import json
from dataclasses import dataclass
from typing import ClassVar

_UNPROCESSABLE = 422
_REFUSED = range(400, 500)
UNAVAILABLE = frozenset({408, 429, 502, 503, 504})  # nothing is known to be stored: tried again until the deadline


class HeraldError(Exception):
    """`idempotency_key` is that of the call: under it the same call can be made again, and is accepted once."""

    code: ClassVar[str]

    def __init__(self, text: str, idempotency_key: str | None) -> None:
        super().__init__(text)
        self.idempotency_key = idempotency_key


class NoAnswerError(HeraldError):
    """The connection failed or the deadline passed: whether it was accepted is not known."""

    code = "no_answer"


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `field` is a path such as `items[3].content`, or a parameter's name."""

    field: str
    detail: str


class ProblemError(HeraldError):
    """Herald answered with a problem (RFC 9457), or whatever stands before it with a status."""

    def __init__(
        self, status: int, title: str, detail: str, errors: tuple[FieldError, ...], idempotency_key: str | None
    ) -> None:
        super().__init__(f"{status} {title}: {detail}", idempotency_key)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = errors


class RefusedError(ProblemError):
    """The request is wrong; `errors` names the fields and their limits."""

    code = "refused"


class NotFoundError(ProblemError):
    """Nothing has this id, or is at this path."""

    code = "not_found"


class ConflictError(ProblemError):
    """The state does not allow it: too late to cancel, or the same key is still being handled elsewhere."""

    code = "conflict"


class KeyReusedError(ProblemError):
    """The Idempotency-Key belongs to another request."""

    code = "key_reused"


class UnavailableError(ProblemError):
    """Herald cannot do it now, and could not before the deadline."""

    code = "unavailable"


class ServerError(ProblemError):
    """An error of Herald's own, or an answer that is not Herald's."""

    code = "server_error"


_BY_STATUS: dict[int, type[ProblemError]] = {404: NotFoundError, 409: ConflictError}


def problem(status: int, body: bytes, idempotency_key: str | None) -> ProblemError:
    """What an answer says that is no success; one without a problem's body is told by its status."""
    try:
        given = json.loads(body)
        title, detail = str(given["title"]), str(given["detail"])
        errors = tuple(FieldError(str(one["field"]), str(one["detail"])) for one in given.get("errors", ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        title, detail, errors = "", _shortened(body), ()
    return problem_of(status, title, detail, errors, idempotency_key)


def problem_of(
    status: int, title: str, detail: str, errors: tuple[FieldError, ...], idempotency_key: str | None
) -> ProblemError:
    """The error for a status and what was said with it."""
    kind = _BY_STATUS.get(status, RefusedError if status in _REFUSED else ServerError)
    if status in UNAVAILABLE:
        kind = UnavailableError
    if status == _UNPROCESSABLE and any(_is_key(error.field) for error in errors):
        kind = KeyReusedError
    return kind(status, title, detail, errors, idempotency_key)


def not_heralds(status: int, body: bytes, idempotency_key: str | None) -> ServerError:
    """A success whose body is not what Herald answers."""
    return ServerError(status, "Unexpected", f"the answer is not Herald's: {_shortened(body)}", (), idempotency_key)


def _is_key(field: str) -> bool:
    """`Idempotency-Key` over HTTP, `options.idempotency_key` by SQL."""
    return field.lower().replace("-", "_").endswith("idempotency_key")


def _shortened(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")
