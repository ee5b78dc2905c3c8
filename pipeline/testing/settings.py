"""The settings of a test."""

from collections.abc import Mapping
from typing import Any

from pydantic_settings import InitSettingsSource, PydanticBaseSettingsSource

from herald.outbox.settings import Settings


class _Said(Settings):
    @classmethod
    def settings_customise_sources(cls, *_: object, **sources: object) -> tuple[PydanticBaseSettingsSource, ...]:
        return tuple(one for one in sources.values() if isinstance(one, InitSettingsSource))


def make_settings(said: Mapping[str, Any]) -> Settings:
    """These, and the defaults: nothing of the developer's environment, nor of `.env`. Raises ValidationError."""
    return _Said.model_validate(said)
