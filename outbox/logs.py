"""Logs: one event with fields per line; JSON for machines, colours for a terminal.

What a message carries is in none of them: a traceback has neither variables nor what PostgreSQL quotes of a row or a
statement. SIGUSR1 shows everything from then on, SIGUSR2 what HERALD_LOG_LEVEL says.
"""

import logging
import signal
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal, TextIO

import msgspec
import structlog
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from herald.outbox.threads import Thread

_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger()
_root = logging.getLogger()
_plain: dict[str, str] | None = None  # what every such line has, where they are JSON
MORE, AS_SET = signal.SIGUSR1, signal.SIGUSR2
_asked = AS_SET
QUIET = ("httpx", "httpcore", "httpx2", "httpcore2", "asyncio")


class LogSettings(BaseSettings):
    """HERALD_LOG_FORMAT and HERALD_LOG_LEVEL; they do not depend on any other setting."""

    model_config = SettingsConfigDict(env_prefix="HERALD_", env_file=".env", extra="ignore")

    log_format: Literal["console", "json"] = Field(default_factory=lambda: "console" if sys.stdout.isatty() else "json")
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def load_log_settings() -> LogSettings:
    """Ends the process, with exit code 2, where they are wrong."""
    try:
        return LogSettings()
    except ValidationError as error:
        for one in error.errors():
            sys.stderr.write(f"HERALD_{str(one['loc'][0]).upper()}: {one['msg']}\n")
        sys.exit(2)


def configure_logs(role: str) -> None:
    """Send structlog and the standard library's loggers of this process to standard output, marked with `role`."""
    global _plain  # noqa: PLW0603 - as structlog's own configuration is
    settings = load_log_settings()
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
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger("debug"),  # the level may change: processors look at it
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_renderers(settings)))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _tell_end
    threading.excepthook = lambda ended: _tell_end(ended.exc_type, ended.exc_value, ended.exc_traceback)
    _follow_signals(settings.log_level)


def _follow_signals(level: str) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(MORE, lambda *_: _set_level("debug", MORE))
        signal.signal(AS_SET, lambda *_: _set_level(level, AS_SET))


def level_asked() -> signal.Signals:
    """Which of the two signals came last: who has processes of its own passes it on."""
    return _asked


def _set_level(level: str, asked: signal.Signals) -> None:
    global _asked  # noqa: PLW0603 - of the process, as the level is
    _asked = asked
    _root.setLevel(level.upper())
    # not here: a signal may come in the middle of a line
    Thread(lambda: _log.critical("log_level_changed", to=level), "log-level").start()


def _tell_end(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """What nobody has caught ends the process, or its thread."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), trace)
    elif error is not None and not isinstance(error, SystemExit):
        _log.critical("not_caught", exc_info=error)


def log_many(event: str, many: Iterable[tuple[float, dict[str, Any]]]) -> None:
    """Many lines of level info at once, each with its date in seconds since 1970, and its fields.

    By structlog a line takes 80 µs, more than a request; like this, 3 (measured). Where they are not shown, none is
    made.
    """
    if not _root.isEnabledFor(logging.INFO):
        return
    if _plain is None:
        for _, fields in many:
            _log.info(event, **fields)
        return
    same = {"event": event, **_plain}
    lines = [_encode({**fields, **same, "timestamp": _stamp(at)}) for at, fields in many]
    if lines:
        with suppress(OSError):  # as the library's own: what cannot be written ends nothing of what it tells
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
        show = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=_print_trace)
        return [_without_role, drop_meta, show]
    return [drop_meta, structlog.processors.ExceptionRenderer(_trace), structlog.processors.JSONRenderer()]


def _print_trace(file: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    file.write(f"\n{_trace(exc_info)}")


def _trace(exc_info: structlog.typing.ExcInfo) -> str:
    """As Python prints it; of PostgreSQL's errors, which quote rows and statements, the first sentence alone."""
    text = "".join(traceback.format_exception(exc_info[1]))
    for error in _chain(exc_info[1]):
        if said := getattr(getattr(error, "diag", None), "message_primary", None):
            text = text.replace(str(error), said)
    return text.rstrip()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if (wrapped := getattr(error, "orig", None)) is not None:  # SQLAlchemy's
            yield wrapped
        error = error.__cause__ or error.__context__


def _without_role(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event.pop("role", None)  # a person sees one process, or the role in front of the line
    return event
