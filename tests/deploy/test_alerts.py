"""The alerts of deploy/: promtool takes them, and each fires, ends, and is silent while all is well."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, require
from tests.deploy.deployed import Rule, rules
from tests.servers.prometheus import CONFIGURATION, RULES, missing_programs

STEP = 15  # seconds between two scrapes
WELL, BROKEN = 8, 40  # scrapes: two minutes, ten minutes, and then well for ten minutes
MOST = 12  # alerts: more are not read
DATABASE = 'job="herald",instance="relay:1"'  # the gauges of the database are the leading relay's


@dataclass(frozen=True)
class Case:
    """By each series its value while all is well, and while it is broken; counters grow by so much with each scrape."""

    alert: str
    series: Mapping[str, tuple[float, float]]
    labels: Mapping[str, str]
    description: str


def gauge(alert: str, metric: str, values: tuple[float, float], description: str, **labels: str) -> Case:
    """Of the database."""
    more = "".join(f',{name}="{value}"' for name, value in labels.items())
    return Case(alert, {f"herald_{metric}{{{DATABASE}{more}}}": values}, {"job": "herald", **labels}, description)


ATTEMPTS = 'herald_attempts_total{job="herald",instance="pipeline:1",channel="email",'
REQUESTS = 'herald_api_requests_total{job="herald",instance="api:1",method="POST",route="/notifications",'
CASES = (
    Case(
        "HeraldProcessDown",
        {'up{job="herald",process="api",instance="api:1"}': (1, 0), 'up{job="node",instance="api:2"}': (0, 0)},
        {"job": "herald", "process": "api", "instance": "api:1"},
        "api:1 has not answered for 2 minutes: the api has ended, or hangs.",
    ),
    Case(
        "HeraldNoRelayLeads",
        {f'herald_relay_leads{{job="herald",instance="relay:{number}"}}': (number, 0) for number in (0, 1)},
        {"job": "herald"},
        "0 relays lead for 2 minutes now: nothing is published, no retry comes due.",
    ),
    gauge(
        "HeraldNotPublished",
        "unpublished_oldest_seconds",
        (3, 90),
        "The oldest row of the log that is not published is 1m 30s old.",
    ),
    gauge(
        "HeraldOverdue",
        "due_oldest_seconds",
        (3, 200),
        "The oldest date of a message has been past for 3m 20s, and nothing holds it back.",
    ),
    Case(
        "HeraldUnread",
        {
            'herald_lag_records{job="herald",instance="relay:1",topic="notifications",partition="0"}': (10, 1200),
            'herald_read_records_total{job="herald",instance="pipeline:1"}': (30, 15),
        },
        {"job": "herald"},
        "To read what is unread takes 20m 0s at the rate of now; +Inf: nobody reads.",
    ),
    Case(
        "HeraldNothingSucceeds",
        {
            f'{ATTEMPTS}outcome="sent",code="sent"}}': (9, 1),
            f'{ATTEMPTS}outcome="failed",code="connection"}}': (1, 9),
        },
        {"job": "herald", "channel": "email"},
        "90% of the attempts of 5 minutes over the channel email did not succeed.",
    ),
    gauge(
        "HeraldDestinationFailing",
        "open_breakers",
        (0, 2),
        "The breakers of 2 destinations have been open for 5 minutes: they are left alone.",
    ),
    gauge("HeraldDeadLetters", "dead_letters", (0, 12), "12 messages are dead and wait for a person.", status="dead"),
    gauge(
        "HeraldWithheld",
        "withheld_partitions",
        (0, 1),
        "1 partitions or topics are withheld: Kafka takes no records there.",
    ),
    gauge("HeraldSetAside", "set_aside_rows", (0, 3), "3 rows of the log are set aside and wait for a person."),
    Case(
        "HeraldDutyFails",
        {'herald_duty_failures_total{job="herald",instance="relay:1",duty="due"}': (0, 3)},
        {"job": "herald", "duty": "due"},
        "24 turns of the duty due failed in 2 minutes.",
    ),
    Case(
        "HeraldApiFails",
        {f'{REQUESTS}status="202"}}': (9, 8), f'{REQUESTS}status="503"}}': (0, 2)},
        {"job": "herald"},
        "20% of the requests of 2 minutes were answered with an error of Herald's.",
    ),
)
# Killed processes, a leader that is replaced, one failure of each kind: none of it is for anybody.
BLIPS = {
    'up{job="herald",process="api",instance="api:1"}': (1, 0),
    'herald_relay_leads{job="herald",instance="relay:1"}': (1, 0),
    f"herald_unpublished_oldest_seconds{{{DATABASE}}}": (0, 50),
    f"herald_due_oldest_seconds{{{DATABASE}}}": (1, 100),
    f"herald_open_breakers{{{DATABASE}}}": (0, 1),
    f"herald_withheld_partitions{{{DATABASE}}}": (0, 1),
    f'herald_lag_records{{{DATABASE},topic="notifications",partition="0"}}': (20, 20_000),
    'herald_read_records_total{job="herald",instance="pipeline:1"}': (100, 100),
    f'{ATTEMPTS}outcome="sent",code="sent"}}': (10, 10),
    f'{ATTEMPTS}outcome="failed",code="timeout"}}': (1, 9),
    'herald_duty_failures_total{job="herald",instance="relay:1",duty="due"}': (0, 1),
    f'{REQUESTS}status="202"}}': (100, 100),
    f'{REQUESTS}status="503"}}': (0, 2),
    'herald_api_requests_total{job="herald",instance="api:1",method="GET",route="/health/ready",status="503"}': (9, 9),
}  # fmt: skip
HELD = {
    "a pause": f"herald_pauses{{{DATABASE}}}",
    "an open breaker": f"herald_open_breakers{{{DATABASE}}}",
    "a strict key": f"herald_blocked_keys{{{DATABASE}}}",
}


@pytest.fixture
def promtool() -> None:
    require("promtool", missing_programs())


@pytest.mark.prometheus
@pytest.mark.usefixtures("promtool")
def test_prometheus_takes_the_configuration_and_its_rules() -> None:
    check("config", CONFIGURATION)


@pytest.mark.prometheus
@pytest.mark.usefixtures("promtool")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_with_its_number_and_ends(case: Case, tmp_path: Path) -> None:
    series = [
        filled(name, WELL * (well,) + BROKEN * (broken,) + BROKEN * (well,))
        for name, (well, broken) in case.series.items()
    ]
    rule = by_name()[case.alert]
    said = {"summary": labelled(rule.annotations["summary"], case.labels), "description": case.description}
    fires = {
        "exp_labels": {**case.labels, "severity": rule.severity},
        "exp_annotations": {**rule.annotations, **said},
    }

    check_alerts(
        tmp_path,
        series,
        [
            asked(case.alert, WELL),
            asked(case.alert, WELL + 2),
            asked(case.alert, WELL + BROKEN - 1, fires),
            asked(case.alert, WELL + 2 * BROKEN - 1),
        ],
    )


@pytest.mark.prometheus
@pytest.mark.usefixtures("promtool")
def test_what_is_over_in_a_minute_alarms_nobody(tmp_path: Path) -> None:
    series = [filled(name, WELL * (well,) + 3 * (broken,) + BROKEN * (well,)) for name, (well, broken) in BLIPS.items()]

    check_alerts(tmp_path, series, [asked(rule.name, at) for rule in rules() for at in range(WELL + BROKEN)])


@pytest.mark.prometheus
@pytest.mark.usefixtures("promtool")
@pytest.mark.parametrize("held_by", HELD.values(), ids=HELD)
def test_what_is_held_back_is_not_overdue(held_by: str, tmp_path: Path) -> None:
    series = [filled(f"herald_due_oldest_seconds{{{DATABASE}}}", BROKEN * (900,)), filled(held_by, BROKEN * (1,))]

    check_alerts(tmp_path, series, [asked("HeraldOverdue", BROKEN - 1)])


def test_each_alert_is_tried_here_and_there_are_few() -> None:
    assert [rule.name for rule in rules()] == [case.alert for case in CASES]
    assert len(CASES) <= MOST


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_an_alert_says_how_bad_it_is_what_how_much_and_what_to_do(rule: Rule) -> None:
    assert rule.severity in {"critical", "warning"}
    assert set(rule.annotations) == {"summary", "description", "runbook"}
    assert rule.annotations["runbook"] == f"docs/runbooks/{rule.name}.md"
    assert (ROOT / rule.annotations["runbook"]).is_file()


def test_each_runbook_is_of_an_alert() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "runbooks").glob("Herald*.md")}

    assert pages == {rule.name for rule in rules()}


def by_name() -> dict[str, Rule]:
    return {rule.name: rule for rule in rules()}


def labelled(text: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], text)


def filled(name: str, values: Sequence[float]) -> dict[str, str]:
    """What promtool takes: a counter's growth is added up."""
    total, found = 0.0, []
    for value in values:
        total = total + value if "_total" in name else value
        found.append(f"{total:g}")
    return {"series": name, "values": " ".join(found)}


def asked(alert: str, scrape: int, *fires: Mapping[str, Any]) -> dict[str, Any]:
    """Whether it fires after so many scrapes."""
    return {"eval_time": f"{scrape * STEP}s", "alertname": alert, "exp_alerts": list(fires)}


def check_alerts(folder: Path, series: Sequence[Mapping[str, str]], wanted: Sequence[Mapping[str, Any]]) -> None:
    """Raises AssertionError with what promtool says."""
    shutil.copy(RULES, folder)
    test = {"interval": f"{STEP}s", "input_series": list(series), "alert_rule_test": list(wanted)}
    file = folder / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [RULES.name], "evaluation_interval": f"{STEP}s", "tests": [test]}))
    run("test", "rules", file)


def check(what: str, file: Path) -> None:
    run("check", what, file)


def run(*arguments: object) -> None:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
