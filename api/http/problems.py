"""Every error is an RFC 9457 problem that names the field and the limit."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from herald.outbox.acceptance.committer import RefusedError, UnavailableError
from herald.outbox.acceptance.idempotency import KeyInUseError, KeyReusedError
from herald.outbox.postgres.connections import is_data_error, is_outage, reason
from herald.outbox.postgres.conviction import convicts_nobody
from herald.outbox.postgres.driver import PostgresError, errors

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 1  # seconds; Herald itself reconnects at the next request
WHOLE_BODY = "body"
IDEMPOTENCY_KEY = "Idempotency-Key"
NO_THREAD = "can't start new thread"  # a RuntimeError of Python's

Handler = Callable[[Request[Any, Any, Any], Any], Response[Any]]
_log = structlog.get_logger()


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field; `field` is a path such as `items[3].content`, or a parameter's name."""

    field: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457 problem details; `errors` names the fields at fault, where there are any."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}


def field_problem(field: str, detail: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> ProblemError:
    """A problem with exactly one field."""
    return ProblemError(status, f"{field}: {detail}", errors=[FieldError(field, detail)])


def unavailable(detail: str) -> ProblemError:
    """503 with Retry-After."""
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"retry-after": str(RETRY_AFTER)})


def respond(problem: ProblemError) -> Response[bytes]:
    """The response of a problem."""
    body = Problem(
        title=problem.status.phrase, status=problem.status.value, detail=problem.detail, errors=problem.errors
    )
    return Response(
        msgspec.json.encode(body), media_type=MEDIA_TYPE, status_code=problem.status.value, headers=problem.headers
    )


def _from_problem(_request: Request[Any, Any, Any], error: ProblemError) -> Response[bytes]:
    return respond(error)


def _from_litestar(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _from_anything(request, error)
    problem = ProblemError(HTTPStatus(error.status_code), _detail(request, error), errors=_fields(error.extra))
    problem.headers.update(error.headers or {})
    if allow := problem.headers.get("allow"):
        problem.headers["allow"] = _with_head(allow)
    return respond(problem)


def _detail(request: Request[Any, Any, Any], error: HTTPException) -> str:
    path = request.scope["path"]
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"nothing is at {path}; /docs lists what there is"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.method} is not a method of {path}"
    errors = _fields(error.extra)
    return "; ".join(f"{one.field}: {one.detail}" for one in errors) or error.detail


def _with_head(allow: str) -> str:
    methods = set(allow.split(", "))
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def _fields(extra: object) -> list[FieldError]:
    if not isinstance(extra, list):
        return []
    return [FieldError(str(one.get("key", "request")), str(one.get("message", ""))) for one in extra]


def _from_refusal(_request: Request[Any, Any, Any], error: RefusedError) -> Response[bytes]:
    return respond(field_problem(WHOLE_BODY, str(error), HTTPStatus.UNPROCESSABLE_ENTITY))


def _from_key_in_use(_request: Request[Any, Any, Any], error: KeyInUseError) -> Response[bytes]:
    problem = field_problem(IDEMPOTENCY_KEY, f"{error}; try again", HTTPStatus.CONFLICT)
    problem.headers["retry-after"] = str(RETRY_AFTER)
    return respond(problem)


def _from_reused_key(_request: Request[Any, Any, Any], error: KeyReusedError) -> Response[bytes]:
    detail = f"{error}: take a new key, or send the same method, path and body"
    return respond(field_problem(IDEMPOTENCY_KEY, detail, HTTPStatus.UNPROCESSABLE_ENTITY))


def _from_outage(_request: Request[Any, Any, Any], error: UnavailableError) -> Response[bytes]:
    _log.warning("database_unavailable", reason=str(error))
    return respond(unavailable("the database is not available; nothing is known to be stored, try again"))


def _from_database(request: Request[Any, Any, Any], error: SQLAlchemyError | PostgresError) -> Response[bytes]:
    cause = getattr(error, "orig", error)
    if is_data_error(error):  # no parameter should come this far: one that does is refused, and told
        _log.error("request_failed", method=request.method, path=request.scope["path"], exc_info=error)
        status = HTTPStatus.BAD_REQUEST if request.method == "GET" else HTTPStatus.UNPROCESSABLE_ENTITY
        return respond(ProblemError(status, f"PostgreSQL refuses it: {reason(error)}"))
    if not is_outage(error):
        return _from_shortage(request, cause)
    _log.warning("database_unavailable", reason=str(cause).strip())
    if isinstance(error, PoolTimeoutError):
        return respond(unavailable("all connections of this process to the database are in use, try again"))
    if isinstance(cause, errors.QueryCanceled):
        return respond(unavailable("the database took too long to answer; try again, or ask for less"))
    return respond(unavailable("the database is not available, try again"))


def _from_shortage(request: Request[Any, Any, Any], error: BaseException) -> Response[bytes]:
    """What nobody's request is at fault for: rights, the schema, memory, descriptors, threads."""
    _log.error("request_failed", method=request.method, path=request.scope["path"], exc_info=error)
    return respond(unavailable("the server cannot do this now; the log says why, try again"))


def _from_anything(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    if convicts_nobody(error) or isinstance(error, PostgresError) or str(error) == NO_THREAD:
        return _from_shortage(request, error)
    _log.error("request_failed", method=request.method, path=request.scope["path"], exc_info=error)
    return respond(ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours; the log has its trace"))


HANDLERS: dict[int | type[Exception], Handler] = {
    ProblemError: _from_problem,
    HTTPException: _from_litestar,
    RefusedError: _from_refusal,
    KeyInUseError: _from_key_in_use,
    KeyReusedError: _from_reused_key,
    UnavailableError: _from_outage,
    SQLAlchemyError: _from_database,
    PostgresError: _from_database,
    Exception: _from_anything,
}
