"""Which text may name a destination that an operator has configured, as the channel `apprise` has them."""

import re

from herald.outbox.message.notification import AddressError

MAX_NAME = 64  # characters
_NAME = re.compile(rf"[a-z0-9_-]{{1,{MAX_NAME}}}")


def check_destination(name: str) -> None:
    """Raise AddressError for what is no name; the text does not repeat it: a URL has passwords in it."""
    if not _NAME.fullmatch(name):
        message = f"a destination is named with 1 to {MAX_NAME} of a-z, 0-9, _ and -; it is no URL"
        raise AddressError(message)
