"""The settings that are structs: what a channel does differently, and where messages go that do not say it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=86400)]


class ChannelPolicy(BaseModel):
    """What one channel does differently; what is not set comes from the settings of the same name.

    `unknown`: what becomes of an attempt whose outcome is not known: `retry` it with the same
    idempotency key, do so `once` and hold the message then, or `hold` it at once until a person decides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout: Seconds | None = Field(None, description="seconds one delivery may take")
    concurrency: int | None = Field(None, ge=1, le=1000, description="deliveries at once over this channel")
    destination_concurrency: int | None = Field(None, ge=1, le=1000, description="deliveries at once to one host")
    retry_base: Seconds | None = None
    retry_cap: Seconds | None = None
    max_attempts: int | None = Field(None, ge=1, le=100)
    unknown: Literal["retry", "once", "hold"] | None = None


class Route(BaseModel):
    """Where a message goes that does not say it itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: str = Field(min_length=1, max_length=255)
    address: str | None = Field(None, min_length=1, max_length=2048)
