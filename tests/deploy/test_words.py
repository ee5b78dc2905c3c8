"""The same thing has the same name in alerts, runbooks, commands and logs."""

import re

from herald.outbox.operate.doctor import command as doctor
from herald.outbox.operate.status.report import ONE, SEVERAL
from tests.conftest import ROOT
from tests.deploy.deployed import rules
from tests.docs.pages import rows, section

PAGE = ROOT / "docs" / "runbooks.md"
OPERATING = ROOT / "docs" / "operating.md"
_WORD = re.compile(r"`([^`]+)`")


def named(column: int) -> set[str]:
    return {word for row in rows(section(PAGE, "The words")) for word in _WORD.findall(row[column])}


def test_every_alert_is_listed_with_its_severity_and_its_runbook() -> None:
    listed = [(row[0], row[1]) for row in rows(section(PAGE, "The words"))]

    assert listed == [(f"[{rule.name}](runbooks/{rule.name}.md)", rule.severity) for rule in rules()]


def test_the_words_of_the_commands_are_theirs() -> None:
    checks = set().union(doctor.SERVER, *doctor.TABLES.values(), doctor.KAFKA, doctor.SETTINGS)
    audit = set(_WORD.findall(section(OPERATING, "The audit")))
    logs = section(OPERATING, "What to watch").split("### Logs")[1]

    assert named(2) <= {name for name, _ in (*ONE.values(), *SEVERAL.values())}
    assert named(3) <= checks
    assert named(4) <= audit
    assert named(5) <= set(_WORD.findall(logs))


def test_a_runbook_says_look_mend_and_wake() -> None:
    for rule in rules():
        text = (ROOT / rule.annotations["runbook"]).read_text(encoding="utf-8")

        assert text.startswith(f"# {rule.name}\n\n**{rule.severity.title()}.** ")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Look", "Mend", "Wake somebody"]


def test_a_runbook_looks_for_words_that_status_says() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "runbooks").glob("*.md"))

    looked_for = set(re.findall(r"herald status \| grep \"?([a-z ]+?)\"? \|\|", pages))

    assert looked_for
    assert looked_for <= {name for name, _ in (*ONE.values(), *SEVERAL.values())}
