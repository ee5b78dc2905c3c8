"""A collector of the tests: takes OTLP over HTTP, and keeps the spans."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Exported(NamedTuple):
    """A span as it came; ids in hexadecimal, times in nanoseconds since 1970."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    began: int
    ended: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    is_error: bool


class Collector:
    """Listens on 127.0.0.1; `url` is what OTEL_EXPORTER_OTLP_ENDPOINT is set to."""

    def __init__(self) -> None:
        spans: list[Exported] = []
        self.spans = spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                is_traces = self.path == "/v1/traces"
                if is_traces:
                    spans.extend(decoded(body))
                self.send_response(200 if is_traces else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of_trace(self, trace: str) -> list[Exported]:
        """Its spans, as they began."""
        return sorted((span for span in list(self.spans) if span.trace == trace), key=lambda span: span.began)

    def of_message(self, message: str) -> list[Exported]:
        """The spans that name it, as they began."""
        named = [span for span in list(self.spans) if span.attributes.get("messaging.message.id") == message]
        return sorted(named, key=lambda span: span.began)


def decoded(body: bytes) -> list[Exported]:
    """What a POST to /v1/traces holds."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Exported(
            service=str(_values(resource.resource.attributes)["service.name"]),
            name=span.name,
            kind=span.kind,
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            began=span.start_time_unix_nano,
            ended=span.end_time_unix_nano,
            attributes=_values(span.attributes),
            links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
            is_error=span.status.code == span.status.STATUS_CODE_ERROR,
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
