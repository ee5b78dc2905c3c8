"""Traces: the way of a message as spans of OpenTelemetry, by the extra `otel`, where the environment asks for them.

Everywhere else nothing of OpenTelemetry is imported, and a place that would make spans looks at one attribute:
`TRACES.spans` is None. What the spans are stands in `spans`, what becomes of them in `exporting`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import structlog
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from herald.outbox.threads import Thread

if TYPE_CHECKING:  # importing it would import OpenTelemetry
    from herald.outbox.watched.spans import Spans

FLUSH = 2.0  # seconds that the end of a process waits until the last spans are exported
_ROOTS = ("always_on", "always_off", "traceidratio")
_log = structlog.get_logger()
# what the SDK takes of a header; of any other it logs the value, which may be a secret
_HEADER = r"[ \t]*[!#-'*+.0-9A-Z^-z|~-]+[ \t]*=[ \t]*[ !#-+\--:<-\[\]-~]*[ \t]*"

Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
Protocol = Literal["http/protobuf", "grpc"]
Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]
Timeout = Annotated[float, Field(gt=0, le=60)]
Headers = Annotated[str, Field(pattern=rf"^({_HEADER}|[ \t]*)(,({_HEADER}|[ \t]*))*$")]


class TracesError(Exception):
    """Traces were asked for and cannot be made; the text names the variable."""


class TraceSettings(BaseSettings):
    """What Herald reads of OpenTelemetry's own variables, and checks; all others the SDK reads from the environment.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/: an empty value counts as none.
    """

    model_config = SettingsConfigDict(
        env_prefix="OTEL_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    traces_exporter: Literal["otlp", "none"] | None = Field(None, description="whether there are traces")
    sdk_disabled: bool = Field(default=False, description="no traces, whatever else is set")
    exporter_otlp_endpoint: Url | None = Field(None, description="of the collector; there are traces where it is set")
    exporter_otlp_traces_endpoint: Url | None = Field(None, description="the same for traces alone, with its path")
    exporter_otlp_protocol: Protocol = Field("http/protobuf", description="spoken with the collector")
    exporter_otlp_traces_protocol: Protocol | None = Field(None, description="the same for traces alone")
    exporter_otlp_headers: Headers | None = Field(None, description="of an export: name=value, separated by commas")
    exporter_otlp_traces_headers: Headers | None = Field(None, description="the same for traces alone")
    exporter_otlp_timeout: Timeout = Field(10.0, description="seconds an export may take")
    exporter_otlp_traces_timeout: Timeout | None = Field(None, description="the same for traces alone")
    bsp_max_queue_size: int = Field(2048, ge=1, le=1_000_000, description="spans that wait for their export")
    bsp_max_export_batch_size: int = Field(512, ge=1, le=1_000_000, description="of them in one export")
    bsp_schedule_delay: int = Field(5000, ge=1, le=3_600_000, description="milliseconds between two exports")
    traces_sampler: Sampler = Field("parentbased_always_on", description="which requests are traced")
    traces_sampler_arg: float = Field(1.0, ge=0, le=1, description="the share of them, where the sampler takes one")

    @property
    def is_on(self) -> bool:
        """An endpoint is enough: so it is with OpenTelemetry's own distributions."""
        if self.sdk_disabled or self.traces_exporter == "none":
            return False
        return bool(self.traces_exporter or self.exporter_otlp_endpoint or self.exporter_otlp_traces_endpoint)

    @property
    def protocol(self) -> Protocol:
        """That of traces."""
        return self.exporter_otlp_traces_protocol or self.exporter_otlp_protocol

    @property
    def endpoint(self) -> str:
        """That of traces: over HTTP a common one has a path for each signal."""
        if self.exporter_otlp_traces_endpoint:
            return self.exporter_otlp_traces_endpoint
        if self.protocol == "grpc":
            return self.exporter_otlp_endpoint or "http://localhost:4317"
        return f"{(self.exporter_otlp_endpoint or 'http://localhost:4318').rstrip('/')}/v1/traces"

    @property
    def timeout(self) -> float:
        """Seconds that an export of traces may take."""
        return self.exporter_otlp_traces_timeout or self.exporter_otlp_timeout


class Read(NamedTuple):
    """Where a record stood, and the group that has read it; `topic` as it is called on Kafka."""

    topic: str
    partition: int
    offset: int
    group: str


class Traces:
    """Of this process; `spans` is None where nothing is traced."""

    spans: "Spans | None" = None


TRACES = Traces()


def begin(role: str) -> None:
    """Trace from now on, where the environment asks for it. Raises TracesError."""
    try:
        asked = TraceSettings()
    except ValidationError as error:
        raise TracesError(
            "\n".join(f"OTEL_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors())
        ) from None
    if not asked.is_on:
        return
    try:
        make_spans = import_module("herald.outbox.watched.exporting").make_spans
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("opentelemetry"):
            raise
        if asked.traces_exporter:
            raise TracesError(
                "OTEL_TRACES_EXPORTER: otlp needs the extra `otel` of Herald, which is not installed"
            ) from None
        _log.warning("traces_off", reason="an endpoint is set, and the extra `otel` is not installed")
        return
    try:
        TRACES.spans = make_spans(role, asked)
    except Exception as error:
        if "OTEL_" not in str(error):
            raise
        raise TracesError(str(error)) from None  # by which the SDK names a variable that it reads itself
    _log.info("traces_on", endpoint=asked.endpoint, sampler=asked.traces_sampler)


def end() -> None:
    """Export what is left, and trace nothing more; returns after 2 seconds whatever the collector does."""
    spans, TRACES.spans = TRACES.spans, None
    if spans is not None:
        last = Thread(spans.close, "traces-end")
        last.start()
        last.join(FLUSH)
