"""What an audit found, for a person or for a program."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from herald.outbox.operate.audit.findings import Checked, Finding

SHOWN = 20  # ids of a finding that a person sees
_STYLES = {"loss": "bold red", "contradiction": "red", "late": "yellow", "note": "dim"}


@dataclass(slots=True)
class Audit:
    """One audit: when it began by the database's clock, and how long it took; what was repaired before it."""

    began_at: datetime
    checked: Sequence[Checked]
    seconds: float
    repaired: dict[str, int] | None = None


def table(audit: Audit) -> Table:
    """One line for each check; findings below theirs."""
    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows.add_column(no_wrap=True)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    for check in audit.checked:
        if not check.findings:
            rows.add_row(Text("ok", style="green"), check.check, Text(check.looked_at))
        for finding in check.findings:
            rows.add_row(Text(finding.severity, style=_STYLES[finding.severity]), check.check, _text(finding))
    rows.add_row("", "", Text(summary(audit)))
    return rows


def summary(audit: Audit) -> str:
    """The last line."""
    wrong = sum(finding.severity != "note" for check in audit.checked for finding in check.findings)
    found = "nothing is wrong" if not wrong else f"{wrong} finding{'s' if wrong > 1 else ''}"
    return f"{found}; {len(audit.checked)} checks in {audit.seconds:.1f} s"


def machine_form(audit: Audit) -> dict[str, Any]:
    """All of it, with every id that was kept."""
    return {
        "checks": [{"check": check.check, "looked_at": check.looked_at} for check in audit.checked],
        "findings": [finding for check in audit.checked for finding in check.findings],
        "repaired": audit.repaired,
        "seconds": round(audit.seconds, 3),
    }


def _text(finding: Finding) -> Text:
    lines = [finding.says]
    if finding.severity != "note":
        more = f" and {finding.count - SHOWN:,} more" if finding.count > SHOWN else ""
        lines += [", ".join(finding.ids[:SHOWN]) + more] if finding.ids else []
        lines.append(f"→ {finding.advice}")
    return Text("\n".join(lines))
