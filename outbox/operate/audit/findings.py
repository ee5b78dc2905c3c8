"""What an audit reports: for each check how many are wrong, which, what it means, what to do."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
from rich.table import Table

from herald.outbox.operate.shown import Line, findings

Severity = Literal["loss", "contradiction", "late", "note"]
Repair = Literal["request", "project", "settle"]  # what `--repair` knows to do about it
SHOWN = 20  # ids of a finding that a person sees
_STYLES = {"loss": "bold red", "contradiction": "red", "late": "yellow", "note": "dim"}


class Finding(msgspec.Struct, frozen=True):
    """Something that is wrong; a note is not. `ids` are the first of `count`."""

    severity: Severity
    count: int
    ids: list[str]
    says: str
    advice: str
    repair: Repair | None = None


class Checked(msgspec.Struct, frozen=True):
    """One check that was made: what it looked at, and what it found."""

    check: str
    looked_at: str
    findings: list[Finding] = []


class Suspects:
    """Ids of something wrong: all are counted, the first `limit` are kept."""

    def __init__(self, limit: int, ids: Iterable[str] = ()) -> None:
        self._limit = limit
        self.ids: list[str] = []
        self.count = 0
        for one in ids:
            self.add(one)

    def add(self, one: str) -> None:
        """Count it, and keep it where there is room."""
        self.count += 1
        if len(self.ids) < self._limit:
            self.ids.append(one)

    def found(self, severity: Severity, says: str, advice: str, repair: Repair | None = None) -> list[Finding]:
        """A finding where there is any suspect; `says` may name their `{count}`."""
        said = says.format(count=f"{self.count:,}")
        return [Finding(severity, self.count, self.ids, said, advice, repair)] if self.count else []


@dataclass(slots=True)
class Audit:
    """One audit: when it began by the database's clock, and how long it took; what was repaired before it."""

    began_at: datetime
    checked: Sequence[Checked]
    seconds: float
    repaired: dict[str, int] | None = None

    @property
    def wrong(self) -> int:
        """How many findings there are but notes."""
        return sum(finding.severity != "note" for check in self.checked for finding in check.findings)


def table(audit: Audit) -> Table:
    """One line for each check, or for each of its findings, and a last one for all."""
    found = "nothing is wrong" if not audit.wrong else f"{audit.wrong} finding{'s' if audit.wrong > 1 else ''}"
    summary = f"{found}; {len(audit.checked)} checks in {audit.seconds:.1f} s"
    return findings([*(line for check in audit.checked for line in _lines(check)), Line("", "", "", summary)])


def _lines(check: Checked) -> Iterator[Line]:
    if not check.findings:
        yield Line("ok", "green", check.check, check.looked_at)
    for finding in check.findings:
        style, is_note = _STYLES[finding.severity], finding.severity == "note"
        more = f" and {finding.count - SHOWN:,} more" if finding.count > SHOWN else ""
        ids = "" if is_note or not finding.ids else f"\n{', '.join(finding.ids[:SHOWN])}{more}"
        advice = None if is_note else finding.advice
        yield Line(finding.severity, style, check.check, f"{finding.says}{ids}", advice)


def machine_form(audit: Audit) -> dict[str, Any]:
    """All of it, with every id that was kept."""
    return {
        "checks": [{"check": check.check, "looked_at": check.looked_at} for check in audit.checked],
        "findings": [
            {"check": check.check, **msgspec.structs.asdict(finding)}
            for check in audit.checked
            for finding in check.findings
        ],
        "repaired": audit.repaired,
        "seconds": round(audit.seconds, 3),
    }
