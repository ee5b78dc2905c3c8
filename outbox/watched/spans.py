"""The spans that Herald makes: request, commit, publish, claim and deliver, each a child of the one before.

What is stored with a message is the place of its request's span. A record has that of its publication, a webhook that
of its attempt. What is asked for again has a root of its own that links to the request: a trace ends, retries may last
for days. Whether a request is traced its sampler decides; all that follows does as the request.

Attributes are OpenTelemetry's, https://opentelemetry.io/docs/specs/semconv/, or begin with `herald.`. None has what a
message carries, its key, an address beyond its host, or the words of an error.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from herald.outbox.watched.traces import Read

LAST = 54  # where the last digit of the flags stands
_ODD = frozenset("13579bdf")  # last digits of flags that say sampled
SERVER_ERROR = 500
Attributes = dict[str, str | int]
_NOWHERE = Context()
_W3C = TraceContextTextMapPropagator()


class Spans:
    """Makes spans, in any thread; what is sampled is exported by a thread of the SDK's."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("herald", version("herald"))

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()

    def received(self, traceparent: str | None, method: str) -> Span:
        """A request has come; its sampler decides here."""
        began = {"http.request.method": method, "url.scheme": "http"}
        return self._tracer.start_span(method, _below(_place(traceparent)), SpanKind.SERVER, began)

    def answered(self, span: Span, method: str, route: str, status: int, ids: Sequence[UUID]) -> None:
        """It was, with this status; `ids` are those of its messages."""
        if not span.is_recording():
            return
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.route": route, "http.response.status_code": status, **_messages(ids)})
        _end(span, str(status) if status >= SERVER_ERROR else None)

    def committed(self, traceparent: str | None, ids: Sequence[UUID], *, began: int, rows: int) -> None:
        """These messages were, in one transaction of so many; `began` in nanoseconds since 1970."""
        if not _is_sampled(traceparent):
            return
        database: Attributes = {
            "db.system.name": "postgresql",
            "db.operation.name": "COMMIT",
            "db.collection.name": "outbox",
            "db.operation.batch.size": rows,
        }
        if span := self._hop(traceparent, "COMMIT outbox", SpanKind.CLIENT, database | _messages(ids), began=began):
            span.end()

    def publishing(self, traceparent: str, message: str, *, topic: str, request: int, rows: int) -> Span | None:
        """A record is handed to Kafka's client, on a page of so many; None where nothing is traced."""
        if not _is_sampled(traceparent):
            return None
        sent = _on_kafka("publish", "send", topic, rows) | {"messaging.message.id": message, "herald.request": request}
        return self._hop(traceparent, f"publish {topic}", SpanKind.PRODUCER, sent, is_root=request > 1)

    def published(self, span: Span, refusal: str | None) -> None:
        """Kafka has acknowledged its page; or why the record will not be there."""
        _end(span, refusal)

    def claimed(self, traceparent: str | None, message: UUID, read: Read, *, rows: int, began: int) -> str | None:
        """An attempt was won, with so many others; the place of the span, None where nothing is traced."""
        if not _is_sampled(traceparent):
            return None
        known = _on_kafka("claim", "receive", read.topic, rows) | {
            "messaging.message.id": str(message),
            "messaging.destination.partition.id": str(read.partition),
            "messaging.kafka.offset": read.offset,
            "messaging.consumer.group.name": read.group,
        }
        span = self._hop(traceparent, f"claim {read.topic}", SpanKind.CONSUMER, known, began=began)
        if span is None:
            return None
        span.end()
        return self.place_of(span)

    def attempting(
        self, traceparent: str | None, message: UUID, *, topic: str, destination: str | None, attempt: int
    ) -> Span | None:
        """A call begins: `destination` is `channel` or `channel:host`, None where the topic's own handler delivers."""
        if not _is_sampled(traceparent):
            return None
        channel, _, host = (destination or "").partition(":")
        called: Attributes = {
            "messaging.operation.name": "deliver",
            "messaging.operation.type": "process",
            "messaging.message.id": str(message),
            "herald.attempt": attempt,
            **({"herald.channel": channel} if channel else {}),
            **_server(host),
        }
        kind = SpanKind.CLIENT if host else SpanKind.CONSUMER
        return self._hop(traceparent, f"deliver {channel or topic}", kind, called)

    def attempted(self, span: Span, outcome: str, code: str | None) -> None:
        """What became of it."""
        span.set_attribute("herald.outcome", outcome)
        _end(span, None if outcome in {"sent", "postponed"} else code or outcome)

    @staticmethod
    def called(method: str, status: int) -> None:
        """The current attempt's call was answered, over HTTP."""
        answered: Attributes = {"http.request.method": method, "http.response.status_code": status}
        trace.get_current_span().set_attributes(answered)

    @staticmethod
    def place_of(span: Span | None) -> str | None:
        """The traceparent of what is below it; None where it is not sampled."""
        if span is None or not (at := span.get_span_context()).trace_flags.sampled:
            return None
        return f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"

    @contextmanager
    def current(self, span: Span) -> Iterator[None]:
        """What a handler or a channel traces itself is below this span."""
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield

    def _hop(
        self,
        traceparent: str | None,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        *,
        began: int | None = None,
        is_root: bool = False,
    ) -> Span | None:
        """Below what was sampled, or a root that links to it; None below what was not."""
        parent = _place(traceparent)
        if parent is None:
            return None
        context = _NOWHERE if is_root else _below(parent)
        links = [Link(parent)] if is_root else None
        span = self._tracer.start_span(name, context, kind, attributes, links, began)
        return span if span.is_recording() else None


def _is_sampled(traceparent: str | None) -> bool:
    """At a glance: what is malformed is found where it is taken apart."""
    return traceparent is not None and traceparent[LAST : LAST + 1] in _ODD


def _place(traceparent: str | None) -> SpanContext | None:
    """None for what is no traceparent."""
    if traceparent is None:
        return None
    found = trace.get_current_span(_W3C.extract({"traceparent": traceparent}, _NOWHERE)).get_span_context()
    return found if found.is_valid else None


def _below(parent: SpanContext | None) -> Context:
    return _NOWHERE if parent is None else trace.set_span_in_context(NonRecordingSpan(parent), _NOWHERE)


def _on_kafka(name: str, kind: str, topic: str, rows: int) -> Attributes:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": topic,
        "messaging.batch.message_count": rows,
    }


def _messages(ids: Sequence[UUID]) -> Attributes:
    """By name where it is one."""
    if len(ids) == 1:
        return {"messaging.message.id": str(ids[0])}
    return {"messaging.batch.message_count": len(ids)} if ids else {}


def _server(authority: str) -> Attributes:
    host, _, port = authority.rpartition(":")
    if not port.isdecimal():
        return {"server.address": authority} if authority else {}
    return {"server.address": host.strip("[]"), "server.port": int(port)}


def _end(span: Span, error: str | None) -> None:
    if error:
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR)
    span.end()
