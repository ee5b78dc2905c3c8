"""The settings of a test."""

from collections.abc import Mapping
from typing import Any

from pydantic_settings import PydanticBaseSettingsSource

from herald.outbox.settings import Settings


class _Said(Settings):
    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # of pydantic's sources only the first counts
        cls, _of: type[Settings], init_settings: PydanticBaseSettingsSource, **_others: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def make_settings(said: Mapping[str, Any]) -> Settings:
    """These, and the defaults: nothing of the developer's environment, nor of `.env`. Raises ValidationError."""
    return _Said.model_validate(said)
