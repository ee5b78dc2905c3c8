"""Paths and queries: checked by name, unknown parameters refused."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin
from uuid import UUID

import msgspec
from litestar.types import BeforeRequestHookHandler
from msgspec import structs

from herald.api.http.bodies import explained
from herald.api.http.problems import FieldError, HttpRequest, ProblemError, field_problem
from herald.outbox.message.notification import MAX_NAME

T = TypeVar("T")
DEFAULT_LIMIT = 20
MAX_LIMIT = 1000
NUMBERS = frozenset({"limit", "wait"})
_UUID_BYTES = 16
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NUMBER = re.compile(r"-?[0-9]{1,9}")
_UUIDS = {"pattern": f"^{_UUID.pattern}$"}
_CURSORS = {"pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"}  # of 16 bytes; the last character has 2 bits of them

Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT, description="items of one page")]
GroupId = Annotated[UUID, msgspec.Meta(description="of what was asked for together", extra_json_schema=_UUIDS)]
Cursor = Annotated[str, msgspec.Meta(description="of the page before; opaque", extra_json_schema=_CURSORS)]


def id_of(request: HttpRequest) -> UUID:
    """The id in the path. Raises ProblemError: 400 naming `id`."""
    return _uuid("id", request.path_params["id"])


def there(found: T | None, what: str, named: UUID) -> T:
    """What was found. Raises ProblemError: 404 naming `id`."""
    if found is None:
        raise field_problem("id", f"no {what} {named}", HTTPStatus.NOT_FOUND)
    return found


def filters_of(request: HttpRequest, shape: type[T]) -> T:
    """The query, as strictly as JSON: a number is no date, and `null` no status. Raises ProblemError: 400."""
    given: dict[str, Any] = dict(request.query_params)
    for name in NUMBERS & given.keys():
        if _NUMBER.fullmatch(given[name]):
            given[name] = int(given[name])
    if "group" in given:
        given["group"] = _uuid("group", given["group"])
    for name, known in _literals(shape).items():
        if given.get(name, known[0]) not in known:
            raise field_problem(name, f"no such {name}: {given[name][:MAX_NAME]}; there are: {', '.join(known)}")
    try:
        return msgspec.convert(given, shape)
    except msgspec.ValidationError as error:
        raise explained(error) from None


def _uuid(name: str, value: str) -> UUID:
    if not _UUID.fullmatch(value):  # Python's own takes braces, prefixes and hyphens anywhere
        raise field_problem(name, f"not a UUID: {value[:MAX_NAME]}")
    return UUID(value)


def _literals(shape: type[Any]) -> dict[str, tuple[str, ...]]:
    """What fields take that have a few values."""
    kinds = [(one.name, kind) for one in structs.fields(shape) for kind in (one.type, *get_args(one.type))]
    return {name: get_args(kind) for name, kind in kinds if get_origin(kind) is Literal}


def only_query(*known: str) -> BeforeRequestHookHandler:
    """A hook that refuses parameters nobody reads: a misspelt filter would list everything."""
    allowed = f"known: {', '.join(known)}" if known else "this path takes none"

    async def refuse_unknown(request: HttpRequest) -> None:
        given = list(request.query_params.multi_items())
        names = [name for name, _ in given]
        errors = [FieldError(name, f"unknown parameter; {allowed}") for name in names if name not in known]
        errors += [FieldError(name, "given more than once") for name in known if names.count(name) > 1]
        errors += [FieldError(name, "contains NUL, as nothing stored does") for name, value in given if "\0" in value]
        if errors:
            detail = "; ".join(f"{one.field}: {one.detail}" for one in errors)
            raise ProblemError(HTTPStatus.BAD_REQUEST, detail, errors=errors)

    return refuse_unknown


def to_cursor(last: UUID) -> str:
    """The cursor of the page after the one that ends with this id."""
    return urlsafe_b64encode(last.bytes).decode().rstrip("=")


def from_cursor(cursor: str | None) -> UUID | None:
    """The last id of the page before; None on the first page. Raises ProblemError: 400 naming `cursor`."""
    if cursor is None:
        return None
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    if len(raw) != _UUID_BYTES or to_cursor(UUID(bytes=raw)) != cursor:
        raise field_problem("cursor", "not one that this API gave out")
    return UUID(bytes=raw)
