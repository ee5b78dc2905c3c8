"""What messages carry: shown to whoever may read it, and to others as null."""

from typing import Any, TypeVar

import msgspec

from herald.api.http.access import CONTENT
from herald.outbox.acceptance.api_keys import ApiKey

T = TypeVar("T", bound=msgspec.Struct)
_HIDDEN: dict[str, Any] = {"data": msgspec.Raw(b"null"), "content": None, "address": None}


def sees_content(key: ApiKey | None) -> bool:
    """Whether it may read what messages carry."""
    return key is None or CONTENT in key.scopes


def shown(state: T, key: ApiKey | None) -> T:
    """As this key may see it."""
    if sees_content(key):
        return state
    return msgspec.structs.replace(
        state, **{name: _HIDDEN[name] for name in state.__struct_fields__ if name in _HIDDEN}
    )
