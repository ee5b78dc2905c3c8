"""Draws what a run has found, by a Python that has matplotlib: `plots.py RESULTS.json FOLDER` writes PNG files."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib import pyplot as plt

SIZE = (9.0, 4.0)  # inches
AT_RATE = re.compile(r"POST → sent at ([\d,]+)/s, p(\d+), ms")
AT_CONNECTIONS = re.compile(r"POST, (\d+) connections, requests/s")
GROWING = (
    "POST → sent at 100/s, p50, ms",
    "POST → sent at 100/s, p99, ms",
    "relay: empty look, ms",
    "claim of 25, ms",
    "record of 25, ms",
    "list: all, ms",
    "dead letters: groups, ms",
    "status, ms",
)
Parts = Mapping[str, list[dict[str, Any]]]
Line = tuple[list[float], list[float]]


def main(results: str, folder: str) -> None:
    """One picture for each part that has something to draw."""
    parts: Parts = json.loads(Path(results).read_text(encoding="utf-8"))["parts"]
    if "latency" in parts:
        labels = ("notifications/s", "POST → sent, ms", "Latency over rate")
        _draw(_latency(parts["latency"]), labels, Path(folder) / "latency.png")
    if "growth" in parts:
        labels = ("messages in the log", "ms", "Cost over rows")
        _draw(dict(_growth(parts["growth"])), labels, Path(folder) / "growth.png")
    if "api" in parts:
        labels = ("connections", "requests/s", "Throughput over concurrency")
        _draw(_throughput(parts["api"]), labels, Path(folder) / "api.png")


def _latency(lines: list[dict[str, Any]]) -> dict[str, Line]:
    return _paired(lines, AT_RATE, lambda found: f"p{found[2]}")


def _throughput(lines: list[dict[str, Any]]) -> dict[str, Line]:
    return _paired(lines, AT_CONNECTIONS, lambda _found: "")


def _paired(lines: list[dict[str, Any]], name: re.Pattern[str], which: Any) -> dict[str, Line]:
    """Herald's line and its rival's, by the number in their names."""
    drawn: dict[str, Line] = {}
    for one in lines:
        if (found := name.fullmatch(one["name"])) and "rival" in one:
            for who, figures in (("Herald", one["figures"]), (one["rival"], one["rival_figures"])):
                across, up = drawn.setdefault(f"{who} {which(found)}".strip(), ([], []))
                across.append(float(found[1].replace(",", "")))
                up.append(median(figures))
    return drawn


def _growth(lines: list[dict[str, Any]]) -> Iterator[tuple[str, Line]]:
    for one in lines:
        if one["name"] in GROWING:
            costs = one["milliseconds"]
            yield one["name"].removesuffix(", ms"), ([float(size) for size in costs], list(costs.values()))


def _draw(lines: Mapping[str, Line], labels: tuple[str, str, str], path: Path) -> None:
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    for name, (across, up) in lines.items():
        axes.plot(across, up, marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel=labels[0], ylabel=labels[1], title=labels[2])
    axes.grid(visible=True, which="both", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
