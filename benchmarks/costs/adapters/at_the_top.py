"""Herald as it was imported as `outbox` and `pipeline`, with all modules of the outbox in one room."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any
from uuid import UUID

_breakers, _claims, _database, _outcomes, _registry, _settings_module = (
    import_module(f"outbox.{name}") for name in ("breakers", "claims", "database", "outcomes", "registry", "settings")
)
_settings = _settings_module.load_settings()
_policy = _breakers.policy_of(_settings)


def connect() -> Any:
    return _database.connect_watched(_settings, "herald-costs")


def claim(connection: Any, ids: Sequence[UUID]) -> int:
    records = [_claims.Record(one, 1, destination="log") for one in ids]
    return len(_claims.claim(connection, records, lease=_settings.lease))


def record(connection: Any, ids: Sequence[UUID]) -> None:
    outcomes = [_outcomes.Outcome(id=one, attempt=1, outcome="sent", destination="log") for one in ids]
    _outcomes.record_outcomes(connection, outcomes, dead_letters=_registry.DEAD_LETTERS)
    _breakers.report_outcomes(connection, outcomes, _policy)
