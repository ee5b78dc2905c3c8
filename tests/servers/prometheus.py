"""Prometheus with the rules and the scrape configuration of deploy/, on the ports of a test."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.ports import accepts, free_port

DEPLOYED = Path(__file__).parent.parent.parent / "deploy" / "prometheus"
RULES, CONFIGURATION = DEPLOYED / "alerts.yml", DEPLOYED / "prometheus.yml"
PROGRAMS = ("prometheus", "promtool")
START_TIMEOUT = 30.0  # seconds
ANSWER_TIMEOUT = 30.0  # seconds, on a busy machine
Ports = Mapping[str, Sequence[int]]  # by the process


class Alert(NamedTuple):
    """One that Prometheus shows; `labels` without its name and severity."""

    name: str
    state: str
    labels: tuple[tuple[str, str], ...]
    summary: str
    description: str


def missing_programs() -> list[str]:
    """Which of Prometheus's programs are not installed (Debian: apt install prometheus)."""
    return [name for name in PROGRAMS if not shutil.which(name)]


class Prometheus:
    """Scrapes the ports; everything else is as deployed."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.port = free_port()
        shutil.copy(RULES, folder)
        configuration = folder / CONFIGURATION.name
        configuration.write_text(yaml.safe_dump(_pointed(ports)), encoding="utf-8")
        command = [
            "prometheus",
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]
        self.child = Child(command, log=folder / "prometheus.log", cwd=folder)

    def __enter__(self) -> Self:
        self.child.start()
        eventually(lambda: accepts(self.port), START_TIMEOUT, what="Prometheus listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.kill()

    def alerts(self) -> list[Alert]:
        """Those that are pending or firing."""
        found = self._ask("alerts")["alerts"]
        return [
            Alert(
                one["labels"]["alertname"],
                one["state"],
                tuple((name, one["labels"][name]) for name in one["labels"] if name not in {"alertname", "severity"}),
                one["annotations"]["summary"],
                one["annotations"]["description"],
            )
            for one in found
        ]

    def firing(self) -> set[str]:
        """Their names."""
        return {alert.name for alert in self.alerts() if alert.state == "firing"}

    def query(self, expression: str) -> list[Any]:
        """The series that it gives now. Raises HTTPError for an expression that is none."""
        return list(self._ask("query", query=expression)["result"])

    def _ask(self, what: str, **values: str) -> Any:
        address = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urlencode(values)}"
        with urlopen(address, timeout=ANSWER_TIMEOUT) as answer:
            return json.loads(answer.read())["data"]


def _pointed(ports: Ports) -> Any:
    configuration = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    (scraped,) = configuration["scrape_configs"]
    for group in scraped["static_configs"]:
        group["targets"] = [f"127.0.0.1:{port}" for port in ports[group["labels"]["process"]]]
    return configuration
