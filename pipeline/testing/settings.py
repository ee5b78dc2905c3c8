"""The settings of a test."""

from collections.abc import Mapping
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from herald.outbox.settings import Settings


class _Given(Settings):
    @classmethod
    def settings_customise_sources(  # pydantic's signature
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def make_settings(said: Mapping[str, Any]) -> Settings:
    """These, and the defaults: nothing of the developer's environment, nor of `.env`. Raises ValidationError."""
    return _Given.model_validate(said)
