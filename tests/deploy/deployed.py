"""What deploy/ holds, taken apart: rules, and the metrics and labels of their expressions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import promql_parser as promql
import yaml

from tests.servers.prometheus import CONFIGURATION, RULES

INTERVAL = "5m"  # for what Grafana puts into an expression


class Use(NamedTuple):
    """A metric as an expression asks for it, and labels of it that are matched or grouped by."""

    metric: str
    labels: frozenset[str]


@dataclass(frozen=True)
class Rule:
    """An alert."""

    name: str
    expression: str
    severity: str
    annotations: dict[str, str]


def rules() -> list[Rule]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [Rule(one["alert"], one["expr"], one["labels"]["severity"], one["annotations"]) for one in group["rules"]]


def target_labels() -> set[str]:
    """Those that the scrape configuration gives to whatever a process shows."""
    (scraped,) = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["scrape_configs"]
    return {"job", "instance"}.union(*(group["labels"] for group in scraped["static_configs"]))


def uses(expression: str) -> set[Use]:
    """Raises ValueError for an expression that is none."""
    plain = re.sub(r"\$__\w+", INTERVAL, expression)
    return set(_uses(promql.parse(plain), frozenset()))


def _uses(expression: Any, grouped: frozenset[str]) -> Iterator[Use]:
    match expression:
        case promql.VectorSelector():
            matched = {matcher.name for matcher in expression.matchers.matchers}
            yield Use(str(expression.name), grouped | matched)
        case promql.MatrixSelector():
            yield from _uses(expression.vector_selector, grouped)
        case promql.AggregateExpr():
            named = frozenset(expression.modifier.labels if expression.modifier else ())
            yield from _uses(expression.expr, named)
        case promql.BinaryExpr():
            yield from _uses(expression.lhs, grouped)
            yield from _uses(expression.rhs, grouped)
        case promql.ParenExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
            yield from _uses(expression.expr, grouped)
        case promql.Call():
            for argument in expression.args:
                yield from _uses(argument, grouped)
