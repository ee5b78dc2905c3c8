"""How spans are sampled and exported: by OpenTelemetry's SDK, as its variables ask for it."""

import logging
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from time import monotonic
from typing import Any

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
from opentelemetry.trace import Link, SpanKind
from opentelemetry.util.types import Attributes

from herald.outbox.watched.spans import Spans
from herald.outbox.watched.traces import TraceSettings

QUIET = 60.0  # seconds in which one kind of the SDK's lines is shown once
_PACKAGES = {"http/protobuf": "http", "grpc": "grpc"}
_log = structlog.get_logger()


def make_spans(role: str, asked: TraceSettings) -> Spans:
    """What the environment asks for. Raises what the SDK does for a variable that it does not take."""
    exporter = import_module(f"opentelemetry.exporter.otlp.proto.{_PACKAGES[asked.protocol]}.trace_exporter")
    made: SpanExporter = exporter.OTLPSpanExporter(endpoint=asked.endpoint, timeout=asked.timeout)
    given = OTELResourceDetector().detect().attributes
    resource = Resource.create({"service.name": f"herald-{role}", "service.version": version("herald"), **given})
    provider = TracerProvider(sampler=make_sampler(asked), resource=resource, shutdown_on_exit=False)
    size, most = asked.bsp_max_queue_size, asked.bsp_max_export_batch_size
    delay = asked.bsp_schedule_delay
    batches = BatchSpanProcessor(made, size, schedule_delay_millis=delay, max_export_batch_size=min(size, most))
    provider.add_span_processor(batches)
    trace.set_tracer_provider(provider)  # for what handlers and channels trace themselves
    quieten()
    return Spans(provider)


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
        attributes: Attributes = None,
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
