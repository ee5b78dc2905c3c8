"""Logs: one event with fields per line; JSON for machines, colours for a terminal."""

import logging
import sys
from typing import Literal

import structlog
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

QUIET = ("httpx", "httpcore", "httpx2", "httpcore2", "asyncio")


class LogSettings(BaseSettings):
    """HERALD_LOG_FORMAT and HERALD_LOG_LEVEL; they do not depend on any other setting."""

    model_config = SettingsConfigDict(env_prefix="HERALD_", env_file=".env", extra="ignore")

    log_format: Literal["console", "json"] = Field(default_factory=lambda: "console" if sys.stdout.isatty() else "json")
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def configure_logs(role: str) -> None:
    """Send structlog and the standard library's loggers of this process to standard output, marked with `role`."""
    settings = LogSettings()

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


def _renderers(settings: LogSettings) -> list[structlog.typing.Processor]:
    drop_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if settings.log_format == "console":
        return [_without_role, drop_meta, structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
    return [drop_meta, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _without_role(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event.pop("role", None)  # a person sees one process, or the role in front of the line
    return event
