"""Every error is an RFC 9457 problem that names the field and the limit."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from herald.api.http.requests import NOWHERE, id_of
from herald.outbox.acceptance.committer import RefusedError, UnavailableError
from herald.outbox.acceptance.idempotency import KeyInUseError, KeyReusedError
from herald.outbox.moves.pauses import ScopeError
from herald.outbox.postgres.connections import is_data_error, is_outage, reason
from herald.outbox.postgres.conviction import convicts_nobody
from herald.outbox.postgres.driver import PostgresError, errors

HttpRequest: TypeAlias = Request[Any, Any, Any]

MEDIA_TYPE = "application/problem+json"
TRY_AGAIN = {"retry-after": "1"}  # seconds; Herald itself reconnects at the next request
WHOLE_BODY = "body"
IDEMPOTENCY_KEY = "Idempotency-Key"
NO_THREAD = "can't start new thread"  # a RuntimeError of Python's
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
        self.headers = TRY_AGAIN if status == HTTPStatus.SERVICE_UNAVAILABLE else headers or {}

    @property
    def body(self) -> bytes:
        """As JSON."""
        status = self.status
        return msgspec.json.encode(
            Problem(title=status.phrase, status=status.value, detail=self.detail, errors=self.errors)
        )


def field_problem(
    field: str, detail: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST, headers: dict[str, str] | None = None
) -> ProblemError:
    """A problem with exactly one field."""
    return ProblemError(status, f"{field}: {detail}", errors=[FieldError(field, detail)], headers=headers)


def unavailable(detail: str) -> ProblemError:
    """503, with Retry-After as every 503 has it."""
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail)


def answer(request: HttpRequest, error: Exception) -> Response[bytes]:
    """Whatever ends a request becomes its problem."""
    problem = _problem(request, error)
    return Response(problem.body, media_type=MEDIA_TYPE, status_code=problem.status.value, headers=problem.headers)


def _problem(request: HttpRequest, error: Exception) -> ProblemError:
    match error:
        case ProblemError():
            return error
        case HTTPException() if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _from_litestar(request, error)
        case RefusedError() | KeyInUseError() | KeyReusedError() | ScopeError():
            return _from_outbox(error)
        case UnavailableError() | SQLAlchemyError() | PostgresError():
            return _from_database(request, error)
    _log_failure(request, error)
    if convicts_nobody(error) or str(error) == NO_THREAD:
        return _shortage()
    return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours; the log has its trace")


def _from_litestar(request: HttpRequest, error: HTTPException) -> ProblemError:
    detail, path, headers = error.detail, request.scope["path"], dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"nothing is at {path}; /docs lists what there is"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not a method of {path}"
    if methods := set(headers.get("allow", "").split(", ")) - {""}:
        headers["allow"] = ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
    return ProblemError(HTTPStatus(error.status_code), detail, headers=headers)


def _from_outbox(error: RefusedError | KeyInUseError | KeyReusedError | ScopeError) -> ProblemError:
    match error:
        case RefusedError():
            return field_problem(WHOLE_BODY, str(error), HTTPStatus.UNPROCESSABLE_ENTITY)
        case KeyInUseError():
            return field_problem(IDEMPOTENCY_KEY, f"{error}; try again", HTTPStatus.CONFLICT, TRY_AGAIN)
        case KeyReusedError():
            detail = f"{error}: take a new key, or send the same method, path and body"
            return field_problem(IDEMPOTENCY_KEY, detail, HTTPStatus.UNPROCESSABLE_ENTITY)
        case ScopeError():
            return field_problem("what", str(error), HTTPStatus.NOT_FOUND)


def _from_database(request: HttpRequest, error: UnavailableError | SQLAlchemyError | PostgresError) -> ProblemError:
    cause = getattr(error, "orig", error)
    if isinstance(error, UnavailableError):
        _log.warning("database_unavailable", reason=str(error))
        return unavailable("the database is not available; nothing is known to be stored, try again")
    if is_data_error(error):  # no parameter should come this far: one that does is refused, and told
        _log_failure(request, error)
        status = HTTPStatus.BAD_REQUEST if request.method == "GET" else HTTPStatus.UNPROCESSABLE_ENTITY
        return ProblemError(status, f"PostgreSQL refuses it: {reason(error)}")
    if not isinstance(error, PoolTimeoutError) and not is_outage(error):
        _log_failure(request, cause)
        return _shortage()
    _log.warning("database_unavailable", reason=reason(cause))
    if isinstance(error, PoolTimeoutError):
        return unavailable("all connections of this process to the database are in use, try again")
    if isinstance(cause, errors.QueryCanceled):
        return unavailable("the database took too long to answer; try again, or ask for less")
    return unavailable("the database is not available, try again")


def _shortage() -> ProblemError:
    """What nobody's request is at fault for: rights, the schema, memory, descriptors, threads."""
    return unavailable("the server cannot do this now; the log says why, try again")


def _log_failure(request: HttpRequest, error: BaseException) -> None:
    scope = request.scope
    route = scope.get("path_template", NOWHERE)
    _log.error("request_failed", request_id=id_of(scope), method=request.method, route=route, exc_info=error)
