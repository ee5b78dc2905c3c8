"""compose.yaml as an engine would read it on a machine without an `.env`."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
SCHEMA = Path(__file__).parent / "compose-spec.json"

Service = dict[str, Any]


def compose() -> dict[str, Any]:
    """The file after its variables took their defaults; raises AssertionError for one without a default."""
    loaded = yaml.safe_load(_with_defaults((ROOT / "compose.yaml").read_text(encoding="utf-8")))
    assert isinstance(loaded, dict)
    return loaded


def services() -> dict[str, Service]:
    found = compose()["services"]
    assert isinstance(found, dict)
    return found


def ours() -> dict[str, Service]:
    """The services that run Herald's image."""
    return {name: service for name, service in services().items() if "build" in service}


def environment(service: Service) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def _with_defaults(text: str) -> str:
    filled = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    assert "${" not in filled, "a variable without a default stops `docker compose up` on a fresh machine"
    return filled
