"""Settings: each is valid by itself, or nothing would start; together they may not be."""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic_settings import DotEnvSettingsSource

from herald.outbox.destination.descriptors import allowed, needed_by_pipeline
from herald.outbox.destination.retries import Retries
from herald.outbox.extensions import ExtensionError, added, load, origin
from herald.outbox.logs import LogSettings
from herald.outbox.operate.doctor.finding import Checks, Finding, Look, note, ok, problem, warning
from herald.outbox.settings import Settings, variable

LIKELY = 0.8  # how alike two names are for one to be the other misspelled
MARGIN = 5.0  # seconds of a lease beyond the delivery, at least
SHORT_TTL = 3600.0  # seconds
PREFIXES = ("HERALD_", "KAFKA_")  # other programs have variables that begin with KAFKA_, too
NAMES = {variable(name): field for kind in (Settings, LogSettings) for name, field in kind.model_fields.items()}
NEEDED = {  # by channel
    "email": ("smtp_host", "email_from"),
    "apprise": ("apprise_urls",),
}


@dataclass(frozen=True)
class Configuration:
    """What was read, and where from."""

    settings: Settings
    environment: Mapping[str, str]
    file: Mapping[str, str]


def read_configuration(settings: Settings) -> Configuration:
    """The settings with the environment and the `.env` that they came from."""
    file = DotEnvSettingsSource(Settings).env_vars  # names in lower case, as pydantic compares them
    return Configuration(settings, os.environ, {name.upper(): value or "" for name, value in file.items()})


def known(configuration: Configuration) -> Look:
    """A name that nothing reads changes nothing, without a word."""
    given = sorted({name.upper() for name in (*configuration.environment, *configuration.file)})
    for name in (name for name in given if name.startswith(PREFIXES) and not _is_read(name)):
        if meant := _meant(name):
            yield warning(f"{name} is set, and nothing reads it", f"Did you mean {meant}?")
        elif name.startswith("HERALD_"):
            advice = "Remove it, or see the table of settings in the README."
            yield warning(f"{name} is set, and nothing reads it", advice)
    return "every variable is known"


def _is_read(name: str) -> bool:
    """Whether it is a setting, or a part of one that is JSON: HERALD_CHANNELS__EMAIL__TIMEOUT."""
    whole, separator, _ = name.partition("__")
    return whole in NAMES and (not separator or isinstance(NAMES[whole].default, dict))


def _meant(name: str) -> str | None:
    bare = name.removeprefix("HERALD_")
    return bare if bare in NAMES else next(iter(difflib.get_close_matches(name, NAMES, 1, LIKELY)), None)


def overridden(configuration: Configuration) -> Look:
    """The environment wins over `.env`; values are not shown, some are secret."""
    environment = {name.upper(): value for name, value in configuration.environment.items()}
    for name, value in configuration.file.items():
        if name in NAMES and environment.get(name, value) != value:
            yield note(f"{name} of .env is overridden by the environment", f"unset {name}, or remove it there")
    return f"{len(configuration.file)} in .env, none overridden" if configuration.file else "no .env is read"


def times(configuration: Configuration) -> Look:
    """Times that bound one another."""
    s = configuration.settings
    slowest = max([s.delivery_timeout, *(one.timeout for one in s.channels.values() if one.timeout is not None)])
    if s.lease - slowest < MARGIN:
        text = f"HERALD_LEASE ({s.lease:g}) leaves {s.lease - slowest:g} s beside the slowest delivery ({slowest:g})"
        yield warning(f"{text}: what waits for its turn is given back untried", f"Set HERALD_LEASE={slowest * 2:g}")
    if s.statement_timeout >= s.lease:
        text = f"HERALD_STATEMENT_TIMEOUT ({s.statement_timeout:g}) reaches HERALD_LEASE ({s.lease:g})"
        why = "an outcome may come after its lease, and be unknown"
        yield warning(f"{text}: {why}", f"Set HERALD_STATEMENT_TIMEOUT={s.lease / 4:g}")
    for low, high in (("retry_base", "retry_cap"), ("retry_base", "strict_retry_cap"), ("breaker_base", "breaker_cap")):
        base, cap = getattr(s, low), getattr(s, high)
        if base > cap:
            text = f"{variable(low)} ({base:g}) is above {variable(high)} ({cap:g}), which holds from the first on"
            yield warning(text, f"Set {variable(high)}={base:g}, or {variable(low)} lower")
    strict = Retries(s.retry_base, s.strict_retry_cap, s.strict_max_attempts).after(s.strict_max_attempts)[1]
    other = Retries(s.retry_base, s.retry_cap, s.max_attempts).after(s.max_attempts)[1]
    if s.strict_topics and strict > other:
        text = f"messages of strict topics are tried for up to {strict / 3600:.2g} h, others for {other / 3600:.2g} h"
        why = "a failed one holds back those behind it of its key meanwhile"
        yield warning(f"{text}: {why}", f"Set HERALD_STRICT_MAX_ATTEMPTS={s.max_attempts} or less")
    if s.idempotency_ttl < SHORT_TTL:
        text = f"HERALD_IDEMPOTENCY_TTL is {s.idempotency_ttl:g} s: a caller that repeats later is accepted twice"
        yield note(text, "Keep keys for longer than callers retry: HERALD_IDEMPOTENCY_TTL=86400")
    return f"a lease of {s.lease:g} s, deliveries of {slowest:g} s at most"


def limits(configuration: Configuration) -> Look:
    """Numbers that bound one another."""
    s = configuration.settings
    if s.destination_concurrency > s.concurrency:
        text = f"HERALD_DESTINATION_CONCURRENCY ({s.destination_concurrency}) is above HERALD_CONCURRENCY"
        yield note(f"{text} ({s.concurrency}), which holds", f"Set HERALD_CONCURRENCY={s.destination_concurrency}")
    if s.max_bulk_body < s.max_body:
        text = f"HERALD_MAX_BULK_BODY ({s.max_bulk_body}) is below HERALD_MAX_BODY ({s.max_body})"
        yield warning(f"{text}: many may be less than one", f"Set HERALD_MAX_BULK_BODY={s.max_body * 8}")
    limit, needed = allowed(), needed_by_pipeline(s.concurrency, s.open_calls)
    if limit is not None and limit < needed:
        asked = f"{s.concurrency} threads and {s.open_calls} calls need {needed}"
        text = f"{limit} files and connections may be open here (ulimit -n); {asked}"
        advice = f"Raise the limit to {needed}, or set HERALD_OPEN_CALLS or HERALD_CONCURRENCY lower"
        yield note(f"{text}: a pipeline raises its own limit, or delivers less at once", advice)
    return f"{s.concurrency} threads, {s.open_calls} calls open, {s.destination_concurrency} to one destination"


def channels(configuration: Configuration) -> Look:
    """A route leads to a channel that can deliver."""
    s = configuration.settings
    for name, route in s.routes.items():
        for missing in (variable(field) for field in NEEDED.get(route.channel, ()) if not getattr(s, field)):
            text = f"HERALD_ROUTES sends {name} over {route.channel}, and {missing} is not set"
            yield warning(text, f"Set {missing}")
    return f"{len(s.routes)} route(s)"


def extensions(_configuration: Configuration) -> Iterator[Finding]:
    """What is not Herald's own can be loaded where this command runs."""
    if not added():
        yield ok("no extensions")
    for kind, name in added():
        told = f"{kind.what} {name} of {origin(kind, name)}"
        try:
            load(kind, name)
        except ExtensionError:
            yield problem(f"{told} is broken: what uses it does not start", "herald extensions shows the traceback")
        else:
            yield ok(told)


CHECKS: Checks[Configuration] = {
    "names": known,
    ".env": overridden,
    "times": times,
    "limits": limits,
    "routes": channels,
    "extensions": extensions,
}
