"""Crash points: named once, in the code where the list says, and nothing where none is set."""

import re
import subprocess
import sys
from collections import Counter

import pytest

from herald.outbox import crash_points
from herald.outbox.crash_points import DUTIES, POINTS, armed
from herald.outbox.kafka.asking import Asking
from herald.outbox.kafka.clients import make_admin
from herald.outbox.scheduler.duties import make_duties, make_kafka_duties
from tests.conftest import ROOT
from tests.outbox.connections import make_settings

PROGRAM = (
    "from herald.outbox.crash_points import reach\n"
    "for number in range(5): reach('relay.read'); print(number, flush=True)"
)


def run(setting: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM]
    environment = {"HERALD_CRASH_AT": setting, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_without_a_setting_nothing_is_asked() -> None:
    assert armed(None) is armed("") is crash_points.reach
    assert run("").stdout.split() == ["0", "1", "2", "3", "4"]


def test_a_process_is_killed_when_it_comes_there_for_that_time_and_says_so_twice() -> None:
    done = run("relay.read:3:KILL")

    assert done.returncode == -9
    assert done.stdout.split() == ["0", "1"]
    assert done.stderr.splitlines() == [
        "HERALD_CRASH_AT: this process gets a SIGKILL when it reaches relay.read for the 3. time",
        "HERALD_CRASH_AT: reached relay.read for the 3. time: SIGKILL",
    ]


def test_another_point_does_nothing() -> None:
    assert run("relay.saved:1:KILL").returncode == 0


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("relay.readd:1:KILL", "'relay.readd:1:KILL' is not <point>:<times>:<signal>; the points are api.taken, "),
        ("relay.read", "'relay.read' is not <point>:<times>:<signal>"),
        ("relay.read:1:KILL:2", "'relay.read:1:KILL:2' is not <point>:<times>:<signal>"),
        ("relay.read:0:KILL", "'0' is not a number from 1 on"),
        ("relay.read:two:KILL", "'two' is not a number from 1 on"),
        ("relay.read:1:TERM", "'TERM' is not one of KILL, STOP"),
    ],
)
def test_a_wrong_setting_ends_the_process_and_says_what_is_wrong(setting: str, reason: str) -> None:
    done = run(setting)

    assert done.returncode == 2
    assert done.stderr.startswith(f"HERALD_CRASH_AT: {reason}")


def test_every_point_is_at_one_place_in_the_code() -> None:
    code = "".join(path.read_text() for name in ("api", "outbox", "pipeline") for path in (ROOT / name).rglob("*.py"))
    listed = [point for point in POINTS if not point.startswith("scheduler.")]

    assert Counter(re.findall(r'reach\("([a-z.]+)"\)', code)) == Counter(listed)


def test_every_duty_of_the_scheduler_has_its_points(broker: str) -> None:
    settings = make_settings("postgresql://herald@localhost/herald", KAFKA_BOOTSTRAP_SERVERS=broker)

    asking = Asking(settings, make_admin(settings), lambda: True)

    duties = make_duties(settings) + make_kafka_duties(settings, asking, lambda: None)
    assert [duty.name for duty in duties] == list(DUTIES)
