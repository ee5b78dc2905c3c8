"""An event as a Kafka record: CloudEvents 1.0 in the binary mode of its Kafka binding.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
`ce_id` is stream and version of the event, `ce_subject` the message, `ce_request` the number of
the request that a claim must match. `ce_traceparent` is where the message began, `traceparent` where this record did:
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md
"""

from collections.abc import Callable

from herald.outbox.relay.reader import Row

Headers = list[tuple[str, str | bytes]]
_VERSION = ("ce_specversion", "1.0")
_JSON = ("content-type", "application/json")


def make_headers(source: str, instance: str = "") -> Callable[..., Headers]:
    """A function from a row, and its place in a trace, to its headers; once per record, so it does nothing twice."""
    origin: Headers = [("ce_source", source)]
    if instance:  # CloudEvents wants such a name: lower case, without signs
        origin.append(("ce_heraldinstance", instance))

    def headers(row: Row, place: str | None = None) -> Headers:
        stream, version, event_type, _topic, key, _value, recorded_at, request, traceparent, _position = row
        made: Headers = [
            _VERSION,
            *origin,
            _JSON,
            ("ce_id", f"{stream}.{version}"),
            ("ce_type", event_type),
            ("ce_time", recorded_at),
            ("ce_subject", stream),
        ]
        if request is not None:
            made.append(("ce_request", request))
        if key is not None:
            made.append(("ce_partitionkey", key))
        if traceparent is not None:
            made += [("ce_traceparent", traceparent), ("traceparent", place or traceparent)]
        return made

    return headers
