"""Routes, and what the OpenAPI document says of them where Litestar cannot know it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from litestar import get, post
from litestar.datastructures import ResponseHeader
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Operation, Parameter, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.plugins import OpenAPISchemaPlugin

from herald.api.http.ends import Wait
from herald.api.http.headers import KEY_PATTERN
from herald.api.http.parameters import only_query
from herald.api.http.problems import IDEMPOTENCY_KEY, MEDIA_TYPE, Problem
from herald.api.shapes.answers import Ended
from herald.api.shapes.requests import EXAMPLES
from herald.api.shapes.schemas import query_schemas, reference

REASONS = {
    400: "A field or a parameter is wrong; `errors` names it and its limit",
    401: "No key is shown, or one that is not good; `detail` says which",
    403: "The key lacks the scope or the topic, or a page of another address asks",
    404: "There is nothing with this id",
    409: "Its state does not allow it, or a request with its Idempotency-Key is being handled; `detail` says which",
    413: "The body is too large; `errors` names the limit",
    415: "The body is not declared as application/json",
    422: "PostgreSQL refuses the data, now and always; or the Idempotency-Key belongs to another request",
    503: "The database is away; try again after `Retry-After` seconds",
}
ID = Parameter(
    "id",
    "path",
    required=True,
    description="as the answer to the request named it",
    schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID),
)
TRACE = Parameter(
    "traceparent",
    "header",
    description="W3C trace context; goes along to Kafka, and is ignored when it is malformed",
    schema=Schema(type=OpenAPIType.STRING),
)
KEY = Parameter(
    IDEMPOTENCY_KEY,
    "header",
    description=(
        "The same request sent again under the same key gets the first answer, and nothing is accepted twice. "
        "Refused requests are not remembered: correct them and keep the key"
    ),
    schema=Schema(type=OpenAPIType.STRING, pattern=KEY_PATTERN),
)
KEY_HEADERS = (
    ResponseHeader(
        name="Idempotency-Key-Expires",
        documentation_only=True,
        value="",  # for its type
        description="With an Idempotency-Key: until when it is remembered (RFC 3339, UTC)",
    ),
    ResponseHeader(
        name="Idempotency-Replayed",
        documentation_only=True,
        value="",
        description="`true` where this is the answer to an earlier request",
    ),
)


class RawJson(OpenAPISchemaPlugin):
    """`msgspec.Raw` is JSON handed through: an object where it came over HTTP, anything where by Kafka."""

    @staticmethod
    def is_plugin_supported_type(value: object) -> bool:
        """Whether this plugin describes it."""
        return value is msgspec.Raw

    def to_openapi_schema(self, *_arguments: object, **_named: object) -> Schema:
        """Describe it."""
        return Schema(description="JSON, as it came")


def query(
    path: str, summary: str, *, filters: type[msgspec.Struct] | None = None, problems: Sequence[int] = ()
) -> HTTPRouteHandler:
    """A GET; `filters_of` reads what the struct describes."""
    parameters = _parameters(filters) if filters else []
    names = [one.name for one in parameters]
    return get(before_request=only_query(*names), **described(path, summary, *problems, parameters=parameters))


def command(
    path: str,
    summary: str,
    *,
    status: int = 200,
    body: type[msgspec.Struct] | None = None,
    is_optional: bool = False,
    dry: type[msgspec.Struct] | None = None,
) -> HTTPRouteHandler:
    """A POST under an Idempotency-Key; without a struct, its body says nothing. A `dry` run is answered with 200."""
    told = described(path, summary, 409, 413, 422, parameters=[KEY], body=body, is_optional=is_optional)
    if dry:
        description = "What would take part; nothing was changed"
        told["responses"][200] = ResponseSpec(dry, description=description, generate_examples=False)
    return post(status_code=status, before_request=only_query(), response_headers=KEY_HEADERS, **told)


def accept(
    path: str, summary: str, *, body: type[msgspec.Struct] | None = None, may_wait: bool = False
) -> HTTPRouteHandler:
    """A POST under an Idempotency-Key that is answered after the commit; without a struct, its body says nothing.

    With 200 where the caller `may_wait` until it is over, and it was.
    """
    waiting = _parameters(Wait) if may_wait else []
    told = described(path, summary, 409, 413, 422, parameters=[TRACE, KEY, *waiting], body=body)
    committed = "It is committed, and will be delivered"
    told["before_request"] = only_query(*(one.name for one in waiting))
    if may_wait:
        told["responses"][200] = ResponseSpec(Ended, description="With `wait`: it is over", generate_examples=False)
    return post(status_code=202, response_description=committed, response_headers=KEY_HEADERS, **told)


def described(
    path: str,
    summary: str,
    *problems: int,
    parameters: Sequence[Parameter] = (),
    body: type[msgspec.Struct] | None = None,
    is_optional: bool = False,
) -> dict[str, Any]:
    """What Litestar is told of a handler: the problems beside those that any may have, its parameters and body.

    The body is described by the struct that validates it, so they cannot differ.
    """
    statuses = {400, 401, 403, *problems, 503} | ({404} if "{" in path else set()) | ({415} if body else set())
    found = [ID, *parameters] if "{id:" in path else parameters
    return {
        "path": path,
        "summary": summary,
        "operation_class": _operation(found, _request_body(body, is_optional=is_optional) if body else None),
        "responses": {
            status: ResponseSpec(Problem, description=REASONS[status], media_type=MEDIA_TYPE, generate_examples=False)
            for status in statuses
        },
    }


def _parameters(query: type[msgspec.Struct]) -> list[Parameter]:
    return [
        Parameter(name, "query", schema=cast("Any", schema), description=schema.get("description", "only what fits"))
        for name, schema in query_schemas(query).items()
    ]


def _request_body(body: type[msgspec.Struct], *, is_optional: bool) -> RequestBody:
    schema: Any = reference(body.__name__)  # plain dictionaries are passed on as they are
    content = {"application/json": OpenAPIMediaType(schema=schema, examples={**EXAMPLES[body]})}
    return RequestBody(content=content, required=not is_optional)


def _operation(parameters: Sequence[Parameter], body: RequestBody | None) -> type[Operation]:
    """What Litestar finds in a handler's signature, and these instead or beside."""

    @dataclass
    class _Described(Operation):
        def __post_init__(self) -> None:
            named = {one.name: one for one in [*(self.parameters or []), *parameters] if isinstance(one, Parameter)}
            self.parameters = list(named.values()) or None
            self.request_body = body

    return _Described
