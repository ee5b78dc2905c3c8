"""The JSON schemas of bodies in the OpenAPI document: those by which msgspec validates, and what they cannot say.

A channel that is not set up here is in none of them, so they are made by each process from its settings, when they are
first asked for: by then it knows the topics and channels that others have registered.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar.openapi.spec import Components, SecurityScheme

from herald.api.shapes.requests import EXAMPLES, BulkItem, MessageRequest, Requeue
from herald.outbox.destination.check import missing_settings, needs_address
from herald.outbox.message.notification import TOPIC, Notification
from herald.outbox.message.payload import WITHOUT_NUL
from herald.outbox.moves.pauses import scopes
from herald.outbox.registry import registered_channels, registered_topics
from herald.outbox.settings import Settings

Schema = dict[str, Any]
PLACE = "#/components/schemas/{name}"
KEY = "key"  # the security scheme
_KEY = "A key that `herald keys create` made; of the scopes that an operation names, one is needed"
JSON_OBJECT, SCOPE = "JsonObject", "Scope"
_TEXT: Schema = {"type": "string", "pattern": WITHOUT_NUL}


class BodySchemas(Components):
    """The schemas of bodies beside Litestar's own, which would take their place in the document; and that of keys."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(security_schemes={KEY: SecurityScheme(type="http", scheme="bearer", description=_KEY)})
        self._settings = settings

    def to_schema(self) -> dict[str, Any]:
        """As they are served."""
        served = super().to_schema()
        served["schemas"] |= body_schemas(self._settings)
        return served


def body_schemas(settings: Settings) -> Schema:
    """By the names of the structs; `reference` leads to them."""
    _, schemas = msgspec.json.schema_components(list(EXAMPLES), ref_template=PLACE)
    channels = [name for name in registered_channels() if not missing_settings(name, settings)]
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            _without_default(field)
    for targeted in (Notification, BulkItem):
        _narrow_target(schemas[targeted.__name__], channels)
    schemas[BulkItem.__name__]["oneOf"] = [{"required": ["user_id"]}, {"required": ["user_ids"]}]
    for handed_through in (MessageRequest, Requeue):
        schemas[handed_through.__name__]["properties"]["data"] = reference(JSON_OBJECT)
    _narrow_message(schemas[MessageRequest.__name__])
    return {**schemas, JSON_OBJECT: _json_object(), SCOPE: {"type": "string", "enum": scopes()}}


def reference(name: str) -> Schema:
    """Where the schema of that name stands in the document."""
    return {"$ref": PLACE.format(name=name)}


def query_schemas(struct: type[msgspec.Struct]) -> dict[str, Schema]:
    """By field; a query has no null."""
    _, schemas = msgspec.json.schema_components([struct], ref_template=PLACE)
    return {name: _without_null(one) for name, one in schemas[struct.__name__]["properties"].items()}


def _narrow_target(schema: Schema, channels: Sequence[str]) -> None:
    schema["properties"]["channel"] = {"enum": [*channels, None], "description": "one that is set up here"}
    addressed = [name for name in channels if needs_address(name)]
    if addressed:
        schema["if"] = _given("channel", addressed)
        schema["then"] = {"required": ["address"], "properties": {"address": {"type": "string"}}}


def _narrow_message(schema: Schema) -> None:
    """What `request_message` checks."""
    schema["properties"]["topic"] = {"enum": list(registered_topics())}
    schema["if"] = _given("topic", [TOPIC])
    here = {name: {"type": "null"} for name in ("deliver_at", "deliver_by", "priority")}
    schema["then"] = {"properties": {"data": reference(Notification.__name__), **here}}


def _given(field: str, values: Sequence[str]) -> Schema:
    return {"required": [field], "properties": {field: {"enum": list(values)}}}


def _json_object() -> Schema:
    """What `check_json` lets through, but for what a schema that leads to itself would say: no generator reads one."""
    return {
        "type": "object",
        "propertyNames": _TEXT,
        "additionalProperties": True,
        "description": "kept as it came, at most 32 levels deep, without U+0000",
    }


def _without_default(field: Schema) -> None:
    """Null is what a missing field means; a generator takes a field with a default for one that has to be given."""
    if field.get("default", ...) is None:
        del field["default"]


def _without_null(schema: Schema) -> Schema:
    """Of the alternatives the one that is not null."""
    if "anyOf" in schema:
        (schema,) = [one for one in schema["anyOf"] if one != {"type": "null"}]
    if "enum" in schema:
        schema = {**schema, "enum": [one for one in schema["enum"] if one is not None]}
    return {name: value for name, value in schema.items() if (name, value) != ("default", None)}
