"""Spans of this process, kept in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from herald.outbox.watched.exporting import make_sampler
from herald.outbox.watched.spans import Spans
from herald.outbox.watched.traces import TRACES, TraceSettings

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


class Kept(InMemorySpanExporter):
    """What ended, in that order."""

    def all(self, name: str = "") -> list[ReadableSpan]:
        return [span for span in self.get_finished_spans() if name in span.name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.all(name)
        return span


@contextmanager
def traced(**asked: Any) -> Iterator[Kept]:
    """`asked` are fields of the settings. Whoever asks for spans meanwhile gets some."""
    kept, provider = Kept(), TracerProvider(sampler=make_sampler(TraceSettings(**asked)), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    TRACES.spans = Spans(provider)
    try:
        yield kept
    finally:
        TRACES.spans = None


def place(span: ReadableSpan) -> str:
    """As a traceparent."""
    assert span.context
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def parent(span: ReadableSpan) -> str | None:
    return f"{span.parent.span_id:016x}" if span.parent else None
