"""The API against its own description: schemathesis makes requests of the document, right and wrong ones, and chains.

It fails where an answer is a 5xx but a limit's 503, where the document has not the status, the media type, a header or
the shape of an answer, where a wrong request is accepted, and where a right one is refused without an excuse.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.engine import from_schema
from schemathesis.engine.events import EngineEvent, FatalError, NonFatalError, ScenarioFinished
from schemathesis.generation.case import Case
from schemathesis.hooks import HookContext
from schemathesis.openapi.checks import RejectedPositiveData

from tests.proof.faults.fleet import Fleet
from tests.proof.faults.report import machine, paragraphs, table
from tests.proof.fuzz.excused import excuse_for

NO_HELP = 503
FAILED = '"request_failed"'  # in the log: an error nobody foresaw
AHEAD = 366 * 86_400  # seconds that a date may lie ahead
SHOWN = 20  # what is wrong, at most
# Every channel is set up, and what fails is on the desk at once
SET_UP = {
    "HERALD_SMTP_HOST": "127.0.0.1",
    "HERALD_SMTP_PORT": "9",
    "HERALD_SMTP_SECURITY": "none",
    "HERALD_EMAIL_FROM": "herald@example.com",
    "HERALD_APPRISE_URLS": '{"team": "json://127.0.0.1:9/"}',
    "HERALD_APPRISE_SCHEMES": "json",
    "HERALD_MAX_ATTEMPTS": "1",
    "HERALD_CHANNELS": '{"email": {"max_attempts": 1}, "webhook": {"max_attempts": 1}}',
}


@dataclass
class Found:
    """What was asked, what became of it, and how often which excuse was taken."""

    seed: int
    seconds: float
    cases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    limited: int = 0
    wrong: dict[str, str] = field(default_factory=dict)

    def assert_clean(self) -> None:
        """Raises AssertionError that shows what is wrong, once of each kind."""
        assert not self.wrong, f"seed {self.seed}\n" + "\n\n".join(list(self.wrong.values())[:SHOWN])

    def keeps(self, failure: Failure, response: Response) -> bool:
        """Whether a failure is one; schemathesis asks."""
        if response.status_code == NO_HELP and "retry-after" in response.headers:
            self.limited += 1
            return False
        if not isinstance(failure, RejectedPositiveData):
            return True
        reason = excuse_for(response.status_code, _errors(response))
        if reason is not None:
            self.excused[reason] += 1
        return reason is None

    def take(self, event: EngineEvent) -> None:
        """Count what happened."""
        if isinstance(event, ScenarioFinished):
            self._count(event)
        if isinstance(event, NonFatalError):
            self.wrong[str(event.info)] = f"{event.label}: {event.info.format()}"
        if isinstance(event, FatalError):
            raise event.exception

    def _count(self, event: ScenarioFinished) -> None:
        for case_id, interaction in event.recorder.interactions.items():
            self.cases[event.recorder.cases[case_id].value.operation.label] += 1
            self.statuses[interaction.response.status_code if interaction.response else 0] += 1
        for case_id, checks in event.recorder.checks.items():
            for check in checks:
                self.checks[check.name] += 1
                if check.failure_info:
                    failure = check.failure_info.failure
                    what = f"{failure.operation}: {failure.title}: {failure.message}"
                    answer = event.recorder.find_response(case_id=case_id)
                    said = answer.text[:1000] if answer and answer.encoding else ""
                    self.wrong.setdefault(
                        f"{failure.operation} {failure.title}", f"{what}\n{check.failure_info.code_sample}\n{said}"
                    )


def conform(fleet: Fleet, *, seconds: float, seed: int) -> Found:
    """Ask its first API for so long; the seed repeats the requests, as far as the answers are the same."""
    found = Found(seed, seconds)
    url = f"http://127.0.0.1:{fleet.ports[0]}"
    schemathesis.openapi.format("date-time", _dates())
    schema = schemathesis.openapi.from_url(f"{url}/docs/openapi.json", config=_config(seconds, seed))

    @schema.hook
    def filter_failure(_context: HookContext, failure: Failure, _case: "Case[Any]", response: Response) -> bool:
        return found.keeps(failure, response)

    for event in from_schema(schema).execute():
        found.take(event)
    for name, member in fleet.members.items():
        if not member.running or FAILED in member.output_since_start():
            found.wrong[name] = f"{name} ended, or met an error of its own: {member.tail()}"
    return found


def describe(found: Found) -> str:
    """The report."""
    answered = {(f"answered {status}" if status else "not answered"): count for status, count in found.statuses.items()}
    figures = {
        "requests": found.cases.total(),
        "operations": len(found.cases),
        **dict(sorted(answered.items())),
        "checks": found.checks.total(),
        "**failed**": len(found.wrong),
    }
    head = f"{machine()}. Seed {found.seed}, {found.seconds:g} s."
    excuses = table(("right, and refused all the same, because", "requests"), dict(found.excused.most_common()))
    return paragraphs([head, table(("", "number"), figures), excuses])


def _config(seconds: float, seed: int) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "max-time": max(1, round(seconds)),
            "continue-on-failure": True,
            "generation": {"database": "none", "no-shrink": True},
        }
    )


def _errors(response: Response) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = response.json()["errors"]
    except (ValueError, KeyError, TypeError):
        return []
    return found


def _dates() -> strategies.SearchStrategy[str]:
    """Half of them such as a message may have: a drawn year lies ahead of all or has passed long ago."""
    minutes = strategies.integers(-959, 959).map(lambda offset: timezone(timedelta(minutes=offset)))
    near = strategies.builds(
        lambda ahead, zone: (datetime.now(UTC) + timedelta(seconds=ahead)).astimezone(zone),
        strategies.integers(-AHEAD, AHEAD),
        minutes,
    )
    return strategies.one_of(near, strategies.datetimes(timezones=minutes)).map(datetime.isoformat)
