"""The page for Grafana: its panels have a place each, and ask what can be asked."""

import json
from itertools import combinations
from typing import Any

from tests.conftest import ROOT
from tests.deploy.deployed import uses

DASHBOARD = ROOT / "deploy" / "grafana" / "herald.json"
COLUMNS = 24
QUESTIONS = ["Is it working?", "Where does it wait?", "For whom?"]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", ())]


def test_the_page_answers_three_questions() -> None:
    assert [panel["title"] for panel in panels() if panel["type"] == "row"] == QUESTIONS
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_no_panel_covers_another() -> None:
    places = {panel["id"]: cells(panel["gridPos"]) for panel in panels()}

    assert [pair for pair in combinations(places, 2) if places[pair[0]] & places[pair[1]]] == []
    assert all(0 <= column < COLUMNS for place in places.values() for column, _ in place)


def cells(place: dict[str, int]) -> set[tuple[int, int]]:
    return {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}


def test_every_expression_asks_of_one_herald() -> None:
    asked = [used for expression in expressions() for used in uses(expression)]

    assert len(asked) >= len(expressions())
    assert [used.metric for used in asked if "job" not in used.labels] == []
