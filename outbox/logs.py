"""Logs: one event with fields per line; JSON for machines, colours for a terminal."""

import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec
import structlog
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger()
_is_shown = True  # what has level info
_plain: dict[str, str] | None = None  # what every such line has, where they are JSON
QUIET = ("httpx", "httpcore", "httpx2", "httpcore2", "asyncio")


class LogSettings(BaseSettings):
    """HERALD_LOG_FORMAT and HERALD_LOG_LEVEL; they do not depend on any other setting."""

    model_config = SettingsConfigDict(env_prefix="HERALD_", env_file=".env", extra="ignore")

    log_format: Literal["console", "json"] = Field(default_factory=lambda: "console" if sys.stdout.isatty() else "json")
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def configure_logs(role: str) -> None:
    """Send structlog and the standard library's loggers of this process to standard output, marked with `role`."""
    global _plain, _is_shown  # noqa: PLW0603 - as structlog's own configuration is
    settings = LogSettings()
    _is_shown = settings.log_level in {"debug", "info"}
    _plain = {"role": role, "level": "info"} if settings.log_format == "json" else None

    def with_role(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {**event, "role": role}

    shared: list[structlog.typing.Processor] = [
        with_role,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_renderers(settings)))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_many(event: str, many: Iterable[tuple[float, dict[str, Any]]]) -> None:
    """Many lines of level info at once, each with its date in seconds since 1970, and its fields.

    By structlog a line takes 80 µs, more than a request; like this, 3 (measured). Where they are not shown, none is
    made.
    """
    if not _is_shown:
        return
    if _plain is None:
        for _, fields in many:
            _log.info(event, **fields)
        return
    same = {"event": event, **_plain}
    lines = [_encode({**fields, **same, "timestamp": _stamp(at)}) for at, fields in many]
    if lines:
        sys.stdout.write(b"\n".join([*lines, b""]).decode())
        sys.stdout.flush()


def _stamp(at: float) -> str:
    return f"{_second(int(at))}.{int(at % 1 * 1_000_000):06}Z"


@lru_cache(maxsize=2)
def _second(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%FT%T}"


def _renderers(settings: LogSettings) -> list[structlog.typing.Processor]:
    drop_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if settings.log_format == "console":
        return [_without_role, drop_meta, structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
    return [drop_meta, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _without_role(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event.pop("role", None)  # a person sees one process, or the role in front of the line
    return event
