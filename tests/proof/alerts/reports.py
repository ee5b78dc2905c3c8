"""What each proof puts into docs/proof.md."""

from collections.abc import Mapping, Sequence

from tests.proof.alerts.causes import CAUSES
from tests.proof.alerts.firing import Found
from tests.proof.alerts.health import Quiet
from tests.proof.alerts.runbooks import Followed
from tests.proof.faults.report import machine, measured, paragraphs


def fire(found: Found) -> str:
    head = f"{_head()} {len(found.shown)} alerts in {found.seconds / 60:,.0f} minutes."
    rows = [
        [f"`{one.cause.alert}`", one.cause.what, _seconds(one.fired), _seconds(one.resolved), one.description]
        for one in found.shown
    ]
    return paragraphs(
        [
            head,
            _table(["alert", "cause", "firing after", "resolved after", "what it said"], rows),
            _verdict(found.wrong),
        ]
    )


def quiet(found: Quiet) -> str:
    killed = {f"killed: {role}": number for role, number in sorted(found.killed.items())}
    return measured(
        _head(),
        {
            "under load for": f"{found.seconds:,.0f} s",
            "requests accepted": found.accepted,
            "messages sent": found.sent,
            **killed,
            "alerts whose condition held for a moment": _names(found.pending),
            "**alerts that fired**": _names(found.fired),
        },
        _verdict(found.wrong),
    )


def runbooks(followed: Sequence[Followed]) -> str:
    rows = [
        [f"`{one.alert}`", CAUSES[one.alert].what, str(one.commands), _seconds(one.seconds or None)] for one in followed
    ]
    wrong = [text for one in followed for text in one.wrong]
    table = _table(["alert", "broken", "blocks run", "from the first command until all was well"], rows)
    return paragraphs([_head(), table, _verdict(wrong)])


def _head() -> str:
    return f"{machine()}, Prometheus. Two APIs, two relays, two pipelines."


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(row) for row in (columns, *rows)]
    return "\n".join(f"| {line} |" for line in [lines[0], " | ".join("---" for _ in columns), *lines[1:]])


def _names(seen: Mapping[str, int]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(seen)) or "none"


def _verdict(wrong: Sequence[str]) -> str:
    return f"WRONG: {' · '.join(wrong)}" if wrong else "Nothing was wrong."


def _seconds(found: float | None) -> str:
    return "never" if found is None else f"{found:,.0f} s"
