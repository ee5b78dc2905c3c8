"""Path and query parameters: checked by name, unknown ones refused."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from litestar import Request
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import PathParameter, QueryParameter
from litestar.types import BeforeRequestHookHandler

from herald.api.http.problems import FieldError, ProblemError, field_problem
from herald.outbox.message.notification import MAX_NAME
from herald.outbox.message.payload import WITHOUT_NUL
from herald.outbox.message.state import STATUSES, Status

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000
_UUID_BYTES = 16
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

Id = Annotated[str, PathParameter(description="as the answer to the request named it", schema_extra={"format": "uuid"})]
# What is None where it is not given is no null in a query.
_TEXT = {"one_of": None, "type": OpenAPIType.STRING}
_NAME = {**_TEXT, "pattern": WITHOUT_NUL}
_STATUS = {**_TEXT, "enum": list(STATUSES)}
_CURSORS = {**_TEXT, "pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"}  # of 16 bytes; the last character has 2 bits of them
UserId = Annotated[
    str | None, QueryParameter(min_length=1, max_length=MAX_NAME, description="of this user", schema_extra=_NAME)
]
EventName = Annotated[
    str | None, QueryParameter(min_length=1, max_length=MAX_NAME, description="with this event", schema_extra=_NAME)
]
StatusName = Annotated[str | None, QueryParameter(description="in this status", schema_extra=_STATUS)]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="items of one page")]
Cursor = Annotated[str | None, QueryParameter(description="of the page before; opaque", schema_extra=_CURSORS)]


def parse_id(value: str) -> UUID:
    """Raises ProblemError: 400 naming `id`."""
    if not _UUID.fullmatch(value):  # Python's own takes braces, prefixes and hyphens anywhere
        raise field_problem("id", f"not a UUID: {value[:MAX_NAME]}")
    return UUID(value)


def parse_status(value: str) -> Status:
    """Raises ProblemError: 400 naming `status`. Litestar would take `null` for a status that is not given."""
    if value not in STATUSES:
        raise field_problem("status", f"no such status: {value}; there are: {', '.join(STATUSES)}")
    return value


def only_query(*known: str) -> BeforeRequestHookHandler:
    """A hook that refuses parameters nobody reads: a misspelt filter would list everything."""
    allowed = f"known: {', '.join(known)}" if known else "this path takes none"

    async def refuse_unknown(request: Request[Any, Any, Any]) -> None:
        names = [name for name, _ in request.query_params.multi_items()]
        errors = [FieldError(name, f"unknown parameter; {allowed}") for name in names if name not in known]
        errors += [FieldError(name, "given more than once") for name in known if names.count(name) > 1]
        errors += [
            FieldError(name, "contains NUL, as nothing stored does")
            for name, value in request.query_params.multi_items()
            if "\0" in value
        ]
        if errors:
            detail = "; ".join(f"{one.field}: {one.detail}" for one in errors)
            raise ProblemError(HTTPStatus.BAD_REQUEST, detail, errors=errors)

    return refuse_unknown


def to_cursor(last: UUID) -> str:
    """The cursor of the page after the one that ends with this id."""
    return urlsafe_b64encode(last.bytes).decode().rstrip("=")


def from_cursor(cursor: str) -> UUID:
    """Raises ProblemError: 400 naming `cursor`."""
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    if len(raw) != _UUID_BYTES or to_cursor(UUID(bytes=raw)) != cursor:
        raise field_problem("cursor", "not one that this API gave out")
    return UUID(bytes=raw)
