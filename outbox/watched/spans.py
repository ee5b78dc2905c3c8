"""The spans that Herald makes: request, commit, publish, claim and deliver, each a child of the one before.

What is stored with a message is the place of its request's span. A record has that of its publication, a webhook that
of its attempt. What is asked for again has a root of its own that links to the request: a trace ends, retries may last
for days. Whether a request is traced its sampler decides; all that follows does as the request.

Attributes are OpenTelemetry's, https://opentelemetry.io/docs/specs/semconv/, or begin with `herald.`. None has what a
message carries, its key, an address beyond its host, or the words of an error.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from time import monotonic
from typing import Any
from uuid import UUID

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util import types

from herald.outbox.watched.traces import TraceSettings

# with the flag `sampled`; what is malformed otherwise the propagator finds
_SAMPLED = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][13579bdf](-.*)?")
QUIET = 60.0  # seconds in which one kind of the SDK's lines is shown once
SERVER_ERROR = 500
Attributes = dict[str, str | int]
_propagator = TraceContextTextMapPropagator()
_log = structlog.get_logger()


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
        return self._tracer.start_span(method, _context(traceparent), SpanKind.SERVER, began)

    def answered(self, span: Span, method: str, route: str, status: int, ids: Sequence[UUID]) -> None:
        """It was, with this status; `ids` are those of its messages."""
        if not span.is_recording():
            return
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.route": route, "http.response.status_code": status, **_messages(ids)})
        _end(span, str(status) if status >= SERVER_ERROR else None)

    def committed(self, traceparent: str | None, ids: Sequence[UUID], *, began: int, rows: int) -> None:
        """These messages were, in one transaction of so many; `began` in nanoseconds since 1970."""
        database: Attributes = {
            "db.system.name": "postgresql",
            "db.operation.name": "COMMIT",
            "db.collection.name": "outbox",
            "db.operation.batch.size": rows,
        }
        if span := self._hop(traceparent, "COMMIT outbox", SpanKind.CLIENT, database | _messages(ids), began=began):
            span.end()

    def publishing(self, traceparent: str, message: str, *, topic: str, request: int, rows: int) -> Span | None:
        """A record is handed to Kafka's client, on a page of so many."""
        sent = _on_kafka("publish", "send", topic, rows) | {"messaging.message.id": message, "herald.request": request}
        return self._hop(traceparent, f"publish {topic}", SpanKind.PRODUCER, sent, is_root=request > 1)

    def published(self, span: Span, refusal: str | None) -> None:
        """Kafka has acknowledged its page; or why the record will not be there."""
        _end(span, refusal)

    def claimed(  # noqa: PLR0913 - what a claim is known by
        self,
        traceparent: str | None,
        message: UUID,
        *,
        topic: str,
        partition: int,
        offset: int,
        group: str,
        rows: int,
        began: int,
    ) -> str | None:
        """An attempt was won, with so many others; the place of the span, None where nothing is traced."""
        read = _on_kafka("claim", "receive", topic, rows) | {
            "messaging.message.id": str(message),
            "messaging.destination.partition.id": str(partition),
            "messaging.kafka.offset": offset,
            "messaging.consumer.group.name": group,
        }
        span = self._hop(traceparent, f"claim {topic}", SpanKind.CONSUMER, read, began=began)
        if span is None:
            return None
        span.end()
        return self.place_of(span)

    def attempting(
        self, traceparent: str | None, message: UUID, *, topic: str, destination: str | None, attempt: int
    ) -> Span | None:
        """A call begins: `destination` is `channel` or `channel:host`, None where the topic's own handler delivers."""
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
        _end(span, None if outcome == "sent" else code or outcome)

    @staticmethod
    def called(method: str, status: int) -> None:
        """The current attempt's call was answered, over HTTP."""
        answered: Attributes = {"http.request.method": method, "http.response.status_code": status}
        trace.get_current_span().set_attributes(answered)

    @staticmethod
    def place_of(span: Span | None) -> str | None:
        """The traceparent of what is below it; None where it is not sampled."""
        if span is None or not span.get_span_context().trace_flags.sampled:
            return None
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(span, Context()))
        return carrier["traceparent"]

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
        if traceparent is None or not _SAMPLED.fullmatch(traceparent):
            return None
        context, links = _context(traceparent), None
        parent = trace.get_current_span(context).get_span_context()
        if not parent.is_valid:
            return None
        if is_root:
            context, links = Context(), [Link(parent)]
        span = self._tracer.start_span(name, context, kind, attributes, links, began)
        return span if span.is_recording() else None


def make_spans(role: str, asked: TraceSettings) -> Spans:
    """What the environment asks for. Raises ValueError for what the SDK does not take."""
    exporter = import_module(f"opentelemetry.exporter.otlp.proto.{_PACKAGES[asked.protocol]}.trace_exporter")
    made: SpanExporter = exporter.OTLPSpanExporter(endpoint=asked.endpoint, timeout=asked.timeout)
    given = OTELResourceDetector().detect().attributes
    resource = Resource.create({"service.name": f"herald-{role}", "service.version": version("herald"), **given})
    provider = TracerProvider(sampler=make_sampler(asked), resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(made))
    trace.set_tracer_provider(provider)  # for what handlers and channels trace themselves
    quieten()
    return Spans(provider)


_PACKAGES = {"http/protobuf": "http", "grpc": "grpc"}


def make_sampler(asked: TraceSettings) -> Sampler:
    """The one that is asked for; a root that links to what was sampled is sampled as well."""
    name = asked.traces_sampler.removeprefix("parentbased_")
    roots: dict[str, Sampler] = {
        "always_on": ALWAYS_ON,
        "always_off": ALWAYS_OFF,
        "traceidratio": TraceIdRatioBased(asked.traces_sampler_arg),
    }
    root = roots[name]
    return ParentBased(AsLinked(root)) if name != asked.traces_sampler else AsLinked(root)


class AsLinked(Sampler):
    """A span with links is sampled as what it links to; of all others `otherwise` decides."""

    def __init__(self, otherwise: Sampler) -> None:
        self._otherwise = otherwise

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: types.Attributes = None,
        links: Sequence[Link] | None = None,
        *more: Any,
        **named: Any,
    ) -> SamplingResult:
        if links:
            is_sampled = any(link.context.trace_flags.sampled for link in links)
            return SamplingResult(Decision.RECORD_AND_SAMPLE if is_sampled else Decision.DROP, attributes)
        return self._otherwise.should_sample(parent_context, trace_id, name, kind, attributes, links, *more, **named)

    def get_description(self) -> str:
        return f"AsLinked{{{self._otherwise.get_description()}}}"


class Quiet(logging.Handler):
    """What the SDK has to say, a line of a kind in a minute: a dead collector makes some for each batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = monotonic()
        if now - self._told.get(str(record.msg), -QUIET) >= QUIET:
            self._told[str(record.msg)] = now
            _log.warning("traces_troubled", reason=record.getMessage())


def quieten() -> None:
    """All lines of OpenTelemetry's go that way."""
    logger = logging.getLogger("opentelemetry")
    logger.handlers, logger.propagate = [Quiet()], False


def _context(traceparent: str | None) -> Context:
    return _propagator.extract({"traceparent": traceparent} if traceparent else {}, Context())


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
