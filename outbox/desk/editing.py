"""New data for a dead letter, held to what any input of its topic is held to."""

import msgspec

from herald.outbox.destination.check import TargetError, check_target
from herald.outbox.message.notification import MAX_NAME, TOPIC, Notification
from herald.outbox.message.payload import PayloadError, check_json
from herald.outbox.settings import Settings

_decoder = msgspec.json.Decoder(Notification)


class EditError(ValueError):
    """Data that no caller could have sent; `field` is its place in the data, "" for all of it."""

    def __init__(self, detail: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field
        self.detail = detail


def checked_edit(topic: str, key: str | None, raw: bytes, settings: Settings) -> tuple[bytes, str | None]:
    """The data as it is to be stored, and its key: a notification's is its user. Raises EditError.

    Its dates have passed or do not matter any more: a requeue means now.
    """
    try:
        check_json(raw, max_bytes=settings.max_body)
    except PayloadError as error:
        raise EditError(str(error), field=error.field.removeprefix("$").removeprefix(".")) from None
    if not raw.lstrip().startswith(b"{"):
        raise EditError("must be a JSON object")
    if topic != TOPIC:
        return raw, key
    notification = _decoded(raw)
    try:
        check_target(notification, settings)
    except TargetError as error:
        raise EditError(str(error), field=error.field) from None
    return msgspec.json.encode(notification), notification.key


def _decoded(raw: bytes) -> Notification:
    try:
        notification = _decoder.decode(raw)
    except msgspec.DecodeError as error:
        detail, _, path = str(error).partition(" - at `$.")
        raise EditError(detail, field=path.rstrip("`")) from None
    if len(notification.key) > MAX_NAME:
        message = f"{len(notification.key)} digits, the limit is {MAX_NAME}"
        raise EditError(message, field="user_id")
    return notification
