"""What the OpenAPI document says where Litestar cannot know it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Operation, Parameter, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from herald.api.http.idempotency import KEY_PATTERN
from herald.api.http.problems import IDEMPOTENCY_KEY, MEDIA_TYPE, Problem
from herald.api.shapes.requests import EXAMPLES
from herald.api.shapes.schemas import query_schemas, reference

COMMITTED = "It is committed, and will be delivered"
REASONS = {
    400: "A field or a parameter is wrong; `errors` names it and its limit",
    404: "There is nothing with this id",
    409: "Its state does not allow it, or a request with its Idempotency-Key is being handled; `detail` says which",
    413: "The body is too large; `errors` names the limit",
    415: "The body is not declared as application/json",
    422: "PostgreSQL refuses the data, now and always; or the Idempotency-Key belongs to another request",
    503: "The database is away; try again after `Retry-After` seconds",
}

TRACE_PARAMETER = Parameter(
    name="traceparent",
    param_in="header",
    description="W3C trace context; goes along to Kafka, and is ignored when it is malformed",
    schema=Schema(type=OpenAPIType.STRING),
)
KEY_PARAMETER = Parameter(
    name=IDEMPOTENCY_KEY,
    param_in="header",
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
        description="With an Idempotency-Key: until when it is remembered (RFC 3339, UTC)",
    ),
    ResponseHeader(
        name="Idempotency-Replayed",
        documentation_only=True,
        description="`true` where this is the answer to an earlier request",
    ),
)


class RawJson(OpenAPISchemaPlugin):
    """`msgspec.Raw` is JSON handed through: an object where it came over HTTP, anything where by Kafka."""

    @staticmethod
    def is_plugin_supported_type(value: object) -> bool:
        """Whether this plugin describes it."""
        return value is msgspec.Raw

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: object) -> Schema:  # noqa: ARG002
        """Describe it."""
        return Schema(description="JSON, as it came")


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """The problems a path may answer with."""
    return {
        status: ResponseSpec(Problem, description=REASONS[status], media_type=MEDIA_TYPE, generate_examples=False)
        for status in statuses
    }


def takes(body: type[msgspec.Struct], *headers: Parameter, is_optional: bool = False) -> type[Operation]:
    """Describe the body of a handler that reads it itself: by the struct that validates it, so they cannot differ."""
    schema: Any = reference(body.__name__)  # plain dictionaries are passed on as they are
    content = {"application/json": OpenAPIMediaType(schema=schema, examples=cast("Any", EXAMPLES[body]))}
    return _operation(headers, RequestBody(content=content, required=not is_optional))


def keyed() -> type[Operation]:
    """Describe a handler that takes an Idempotency-Key and no body."""
    return _operation([KEY_PARAMETER])


def filtered(parts: type[msgspec.Struct]) -> type[Operation]:
    """Describe the query parameters of a handler that reads a filter from them."""
    return _operation(
        [
            Parameter(name=name, param_in="query", description="only what fits", schema=cast("Any", schema))
            for name, schema in query_schemas(parts).items()
        ]
    )


def _operation(parameters: Sequence[Parameter], body: RequestBody | None = None) -> type[Operation]:
    """What Litestar finds in a handler's signature, and these."""

    @dataclass
    class _Described(Operation):
        def __post_init__(self) -> None:
            self.request_body = body or self.request_body
            self.parameters = [*(self.parameters or []), *parameters]

    return _Described
