"""What a check reports: how many, which, what it means, what to do."""

from collections.abc import Iterable
from typing import Literal

import msgspec

Severity = Literal["loss", "contradiction", "late", "note"]
Repair = Literal["request", "project", "settle"]  # what `--repair` knows to do about it


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong; a note is not. `ids` are the first of `count`."""

    check: str
    severity: Severity
    count: int
    ids: list[str]
    says: str
    advice: str
    repair: Repair | None = None


class Checked(msgspec.Struct, frozen=True, kw_only=True):
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

    def finding(
        self, check: str, severity: Severity, says: str, advice: str, *, repair: Repair | None = None
    ) -> list[Finding]:
        """A finding where there is any suspect; `says` may name their `{count}`."""
        if not self.count:
            return []
        said = says.format(count=f"{self.count:,}")
        return [
            Finding(
                check=check,
                severity=severity,
                count=self.count,
                ids=self.ids,
                says=said,
                advice=advice,
                repair=repair,
            )
        ]


def is_wrong(checked: Iterable[Checked]) -> bool:
    """Whether anything but notes was found."""
    return any(finding.severity != "note" for check in checked for finding in check.findings)
