"""What is asked for by OpenTelemetry's variables, and what a span is, whoever makes it."""

import logging
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.semconv._incubating.attributes import messaging_attributes
from opentelemetry.semconv.attributes import (
    db_attributes,
    error_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
)
from structlog.testing import capture_logs

from herald.outbox.relay.cursor import Cursor
from herald.outbox.relay.in_flight import InFlight
from herald.outbox.relay.reader import Page, Row
from herald.outbox.watched import traces
from herald.outbox.watched.exporting import Quiet
from herald.outbox.watched.traces import TRACES, Read, TracesError
from tests.outbox.watched.tracing import PARENT, SAMPLED, TRACE, UNSAMPLED, Kept, parent, traced
from tests.servers.eventually import eventually
from tests.servers.otlp import Collector

STANDARD: tuple[ModuleType, ...] = (
    messaging_attributes,
    db_attributes,
    error_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
)
OWN = {"herald.request", "herald.attempt", "herald.channel", "herald.outcome"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in traces.TraceSettings.model_fields:
        monkeypatch.delenv(f"OTEL_{name.upper()}", raising=False)
    logger = logging.getLogger("opentelemetry")
    handlers, propagates = logger.handlers, logger.propagate
    yield
    traces.end()
    logger.handlers, logger.propagate = handlers, propagates


@pytest.fixture
def kept() -> Iterator[Kept]:
    with traced() as kept:
        yield kept


@pytest.mark.parametrize(
    ("environment", "is_on"),
    [
        ({}, False),
        ({"TRACES_EXPORTER": "otlp"}, True),
        ({"EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "TRACES_EXPORTER": "none"}, False),
        ({"TRACES_EXPORTER": "otlp", "SDK_DISABLED": "true"}, False),
    ],
)
def test_traces_are_made_where_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], *, is_on: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"OTEL_{name}", value)

    traces.begin("relay")

    assert (TRACES.spans is not None) is is_on


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "jaeger"),
        ("OTEL_SDK_DISABLED", "perhaps"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "udp"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "many"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "-1"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "many"),
    ],
)
def test_a_wrong_value_stops_the_start_and_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv(name, value)

    with pytest.raises(TracesError, match=name):
        traces.begin("relay")

    assert TRACES.spans is None


def test_what_grpc_does_not_take_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "zip")

    with pytest.raises(TracesError, match="OTEL_EXPORTER_OTLP_COMPRESSION"):
        traces.begin("relay")


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"])
@pytest.mark.parametrize("value", ["Authorization: Bearer hushed", "a=b,hushed", "key=hushed;more", "key=h\tushed"])
def test_headers_that_the_sdk_does_not_take_stop_the_start_and_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv(name, value)

    with pytest.raises(TracesError, match=name) as raised:
        traces.begin("relay")

    assert "ushed" not in f"{raised.value}{caplog.text}"


@pytest.mark.parametrize("value", ["a=b", "a = b , c=d=", "authorization=Bearer hushed", "authorization=Bearer%20x,"])
def test_headers_that_the_sdk_takes_are_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", value)

    traces.begin("relay")

    assert TRACES.spans is not None
    assert "Header" not in caplog.text


@pytest.mark.parametrize(("own", "service"), [({}, "herald-relay"), ({"OTEL_SERVICE_NAME": "shop"}, "shop")])
def test_a_service_has_the_name_of_its_process_or_the_one_that_is_set(
    monkeypatch: pytest.MonkeyPatch, own: dict[str, str], service: str
) -> None:
    with Collector() as collector:
        for name, value in {**own, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}.items():
            monkeypatch.setenv(name, value)
        traces.begin("relay")
        commit()

        traces.end()

        (span,) = eventually(lambda: collector.spans)
        assert (span.service, span.trace, span.parent) == (service, TRACE, PARENT)


def test_grpc_is_spoken_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[Any] = []

    class Servicer(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802 - the protocol's name
            received.append(request)
            return ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    join: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    join(Servicer(), server)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    server.start()
    try:
        traces.begin("relay")
        commit()
        traces.end()
        (request,) = eventually(lambda: received)
    finally:
        server.stop(None)
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert span.name == "COMMIT outbox"


def commit(traceparent: str = SAMPLED) -> None:
    assert TRACES.spans
    TRACES.spans.committed(traceparent, [uuid4()], began=1, rows=1)


@pytest.mark.parametrize(
    "traceparent",
    [
        UNSAMPLED,
        "",
        "nonsense",
        SAMPLED.upper(),
        f"{SAMPLED}-extra",
        f"ff{SAMPLED[2:]}",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-1-{'0' * 13}-01",
    ],
)
def test_what_is_not_sampled_or_no_traceparent_has_no_span(kept: Kept, traceparent: str) -> None:
    commit(traceparent)

    assert kept.all() == []


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_root_that_links_to_what_was_sampled_is_sampled_whatever_the_share(share: float) -> None:
    with traced(traces_sampler="parentbased_traceidratio", traces_sampler_arg=share) as kept:
        assert TRACES.spans
        span = TRACES.spans.publishing(SAMPLED, "m", topic="t", request=2, rows=1)
        assert span
        TRACES.spans.published(span, None)

    root = kept.one("publish t")
    assert root.parent is None
    assert [f"{link.context.trace_id:032x}" for link in root.links] == [TRACE]


@pytest.mark.parametrize(
    ("sampler", "sent", "is_sampled"),
    [
        ("parentbased_always_on", None, True),
        ("parentbased_always_on", UNSAMPLED, False),
        ("parentbased_always_off", None, False),
        ("parentbased_always_off", SAMPLED, True),
        ("parentbased_traceidratio", None, False),
        ("parentbased_traceidratio", SAMPLED, True),
        ("always_on", UNSAMPLED, True),
        ("always_off", SAMPLED, False),
        ("traceidratio", SAMPLED, False),
    ],
)
def test_the_sampler_decides_of_a_request(sampler: str, sent: str | None, *, is_sampled: bool) -> None:
    with traced(traces_sampler=sampler, traces_sampler_arg=0.0):
        assert TRACES.spans

        span = TRACES.spans.received(sent, "POST")

        assert (TRACES.spans.place_of(span) is not None) is is_sampled


def row(message: str, request: str | None = "1", traceparent: str | None = SAMPLED) -> Row:
    return (message, 1, "message.requested", "notifications", "ada", "{}", "2026-11-30", request, traceparent, 1)


def test_a_page_ends_its_spans_and_says_what_was_refused(kept: Kept) -> None:
    rows = [row("a"), row("b"), row("c", traceparent=None), row("d", request="many")]
    page = InFlight(Page(rows, Cursor("1:1:", None, 0, 0, 0, "", 0, None)))
    places = [page.trace(one, "notifications") for one in rows]
    page.refused.append((rows[1], "too large: Dear Ada"))

    page.end_traces()

    taken, refused = kept.all("publish notifications")
    assert [place is not None for place in places] == [True, True, False, False]
    assert (parent(taken), parent(refused)) == (PARENT, PARENT)
    assert [span.status.is_ok for span in (taken, refused)] == [True, False]
    assert (refused.attributes or {})["error.type"] == "refused_by_kafka"
    assert "Ada" not in refused.to_json()


def test_attributes_are_opentelemetrys_or_heralds_own(kept: Kept) -> None:
    spans, message = TRACES.spans, uuid4()
    assert spans
    spans.answered(spans.received(None, "POST"), "POST", "/notifications", 503, [message, message])
    commit()
    published = spans.publishing(SAMPLED, str(message), topic="t", request=1, rows=1)
    assert published
    spans.published(published, "refused_by_kafka")
    spans.claimed(SAMPLED, message, Read("t", 1, 2, "g"), rows=1, began=1)
    for destination in ("webhook:example.com:8443", "webhook:[::1]:443", "log", None):
        called = spans.attempting(SAMPLED, message, topic="t", destination=destination, attempt=1)
        assert called
        with spans.current(called):
            spans.called("POST", 200)
        spans.attempted(called, "failed", "http_status")

    names = {value for module in STANDARD for key, value in vars(module).items() if key.isupper()}
    used = {name for span in kept.all() for name in span.attributes or {}}
    assert used - names == OWN
    servers = [(span.attributes or {}).get("server.address") for span in kept.all("deliver")]
    assert servers == ["example.com", "::1", None, None]
    assert [span.name for span in kept.all("deliver")] == ["deliver webhook"] * 2 + ["deliver log", "deliver t"]


@pytest.mark.parametrize(
    ("outcome", "code", "error"),
    [
        ("sent", None, None),
        ("postponed", "breaker_open", None),
        ("failed", "timeout", "timeout"),
        ("dead", None, "dead"),
    ],
)
def test_a_delivery_that_fails_is_an_error_by_its_code(
    kept: Kept, outcome: str, code: str | None, error: str | None
) -> None:
    spans = TRACES.spans
    assert spans
    span = spans.attempting(SAMPLED, uuid4(), topic="t", destination="log", attempt=1)
    assert span

    spans.attempted(span, outcome, code)

    attributes = kept.one("deliver log").attributes or {}
    assert (attributes["herald.outcome"], attributes.get("error.type")) == (outcome, error)


def test_what_the_sdk_says_again_and_again_is_told_once() -> None:
    logger, quiet = logging.getLogger("opentelemetry.exporter"), Quiet()
    logging.getLogger("opentelemetry").handlers = [quiet]
    with capture_logs() as logs:
        for number in range(3):
            logger.warning("Transient error %s", number)
        logger.error("Failed to export")

    assert [(one["event"], one["reason"]) for one in logs] == [
        ("traces_troubled", "Transient error 0"),
        ("traces_troubled", "Failed to export"),
    ]


def test_an_endpoint_without_the_extra_is_a_warning_and_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.delitem(sys.modules, "herald.outbox.watched.exporting")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with capture_logs() as logs:
        traces.begin("relay")

    assert TRACES.spans is None
    assert [one["event"] for one in logs] == ["traces_off"]
