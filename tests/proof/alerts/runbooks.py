"""A runbook is followed to the letter on a system that is broken as its alert says."""

import random
import re
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from time import monotonic

from tests.deploy.deployed import rules
from tests.docs.pages import ROOT, Block, blocks_of
from tests.proof.alerts.causes import CAUSES
from tests.proof.alerts.stage import Stage
from tests.servers.eventually import eventually

DRAWN = 3
HOLDS = 600.0  # seconds until an alert's condition holds, and until it holds no more
SHOWN = 90.0  # seconds until the first commands print what the page shows
LIKE = 0.7  # of the words of a line that the page shows, where figures and names are others


@dataclass(frozen=True)
class Runbook:
    """The blocks of its parts; `shown` are the lines that the first part says it prints."""

    look: Sequence[str]
    shown: Sequence[str]
    mend: Sequence[str]


@dataclass
class Followed:
    """What came of one; seconds from its first command to the end of the alert's condition."""

    alert: str
    commands: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def draw(seed: int, number: int = DRAWN) -> list[str]:
    """Alerts by lot."""
    return random.Random(seed).sample(list(CAUSES), number)  # noqa: S311 - repeatable


def read(alert: str) -> Runbook:
    """Its page, taken apart."""
    page = (ROOT / "docs" / "runbooks" / f"{alert}.md").read_text(encoding="utf-8")
    look, mend = (page.split(f"\n## {part}\n")[1].split("\n## ")[0] for part in ("Look", "Mend"))
    shown = [line for block in blocks_of(look, "text") for line in block.text.splitlines()]
    return Runbook(_run(blocks_of(look, "sh")), shown, _run(blocks_of(mend, "sh")))


def _run(blocks: Sequence[Block]) -> list[str]:
    return [block.text for block in blocks if not block.why]


def follow(stage: Stage, alert: str) -> Followed:
    """Break, read, do, and look whether all is well."""
    cause, page, found = CAUSES[alert], read(alert), Followed(alert)
    mended = ExitStack()
    mended.callback(cause.begin(stage))
    try:
        eventually(lambda: holds(stage, alert), HOLDS, what=f"the condition of {alert} holds")
        began = monotonic()
        compare(page, stage, found)
        for number, block in enumerate(page.mend):
            if number == cause.outside:
                mended.close()
            stage.run(block)
        eventually(lambda: not holds(stage, alert), HOLDS, what=f"the condition of {alert} holds no more")
        found.seconds = monotonic() - began
        for channel, address in stage.channels:
            stage.deliver(channel, address)
    except AssertionError as error:
        found.wrong.append(f"{alert}: {error}")
        mended.close()  # the next one needs a system that is whole
        with suppress(AssertionError):
            stage.run(cause.then or "true")
    found.commands = len(page.look) + len(page.mend)
    return found


def holds(stage: Stage, alert: str) -> bool:
    """Whether the alert would fire, if it stayed so."""
    (expression,) = [rule.expression for rule in rules() if rule.name == alert]
    return bool(stage.prometheus.query(expression))


def compare(page: Runbook, stage: Stage, found: Followed) -> None:
    """Note lines that the page shows and its commands do not print."""

    def is_shown() -> bool:
        printed = "".join(stage.run(block) for block in page.look)
        lines = [words(line) for line in printed.splitlines()]
        lacking = [line for line in page.shown if not any(is_like(words(line), one) for one in lines)]
        assert not lacking, f"the page shows {lacking}, its commands print\n{printed}"
        return True

    try:
        eventually(is_shown, SHOWN, what="what the page shows")
    except AssertionError as error:
        found.wrong.append(f"{found.alert}: {error}")


def words(line: str) -> list[str]:
    """Without what varies: figures and ids."""
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d[\d.,:-]*", "0", line).split()


def is_like(one: list[str], other: list[str]) -> bool:
    return SequenceMatcher(None, one, other).ratio() >= LIKE
