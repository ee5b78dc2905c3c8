"""A consumer of one's own, and what is outside of it: a file, because it outlives a killed process."""

import os
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec

from herald.pipeline.channel import Delivery, PermanentError, TemporaryError
from herald.pipeline.topic import Topic

VARIABLE = "BAKERY"  # names the file


class Cake(msgspec.Struct, forbid_unknown_fields=True):
    customer: str
    layers: Annotated[int, msgspec.Meta(ge=1)]


def handle(cake: Cake, delivery: Delivery) -> None:
    if cake.layers > 9:
        raise PermanentError("the oven is not that high")
    if cake.layers == 7 and delivery.attempt < 3:
        raise TemporaryError("it collapsed")
    if cake.customer == "mallory":
        return
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(f"{delivery.id}\n")


def baked() -> list[UUID]:
    """The ids of the messages whose cakes are there."""
    return [UUID(line) for line in Path(os.environ[VARIABLE]).read_text(encoding="utf-8").split()]


topic = Topic(data=Cake, handle=handle, key=lambda cake: cake.customer)
