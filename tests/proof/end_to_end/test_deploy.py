"""Alerts and dashboard ask for what processes show."""

from prometheus_client.parser import text_string_to_metric_families

from herald.outbox.watched.metrics import Metrics
from tests.deploy.deployed import rules, target_labels, uses
from tests.deploy.test_dashboard import expressions
from tests.proof.end_to_end.system import ROLES, SETTLED, Herald
from tests.proof.end_to_end.test_watched import METRICS
from tests.servers.eventually import eventually

OF_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate"}}  # it makes these itself


def test_every_metric_and_label_of_alerts_and_dashboard_is_scraped(herald: Herald) -> None:
    herald.start_and_deliver()
    eventually(lambda: "herald_lag_records" in herald.scrape("relay"), SETTLED)
    eventually(lambda: "herald_looked_timestamp_seconds" in herald.scrape("relay"), SETTLED)
    known: dict[str, set[str]] = dict(OF_PROMETHEUS)
    for role in ROLES:
        known |= shown(herald.scrape(role), METRICS[role])

    asked = {used for expression in (*asks_of_alerts(), *expressions()) for used in uses(expression)}

    assert {used.metric for used in asked} <= set(known)
    for used in asked:
        assert used.labels <= known[used.metric] | target_labels(), used.metric


def asks_of_alerts() -> list[str]:
    return [rule.expression for rule in rules()]


def shown(scraped: str, metrics: Metrics) -> dict[str, set[str]]:
    """Labels by the names of samples; where there is no sample yet, those that are listed."""
    found = {one.name: set(one.labels) for one in metrics.listed if f"# TYPE {one.name} " in scraped}
    for family in text_string_to_metric_families(scraped):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found
