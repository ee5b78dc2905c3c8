"""The secrets that webhooks are signed with, checked when the process starts.

The library decodes base64 leniently: a mistyped secret would sign with a key that no receiver has.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence

from pydantic import SecretStr
from standardwebhooks import Webhook

from herald.outbox.destination.urls import PORTS, parse_url
from herald.outbox.message.notification import AddressError
from herald.outbox.settings import SettingsError

PREFIX = "whsec_"


def parse_secrets(secrets: Mapping[str, Sequence[SecretStr]]) -> dict[str, list[Webhook]]:
    """By host, `host:port` or `*`, the newest first.

    Raises SettingsError that names the host, never the secret: for a host that no address has, for one
    without any secret (its webhooks would go out unsigned), and for what is not `whsec_` and base64.
    """
    return {_host(name): _signers(name, found) for name, found in secrets.items()}


def _host(name: str) -> str:
    if name != "*" and not _is_host(name):
        message = (
            f"HERALD_WEBHOOK_SECRETS: {name} is no host as URLs have it: small letters, and a port only if unusual"
        )
        raise SettingsError(message)
    return name


def _is_host(name: str) -> bool:
    """Whether any URL has this as its host, as it is looked up."""
    literal = f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name  # IPv6 without brackets
    try:
        urls = [parse_url(f"{scheme}://{literal}/") for scheme in PORTS]
    except AddressError:
        return False
    return any(name in {url.authority, url.host} for url in urls)


def _signers(name: str, secrets: Sequence[SecretStr]) -> list[Webhook]:
    if not secrets:
        raise SettingsError(f"HERALD_WEBHOOK_SECRETS: {name} has no secret")
    return [Webhook(_key(name, secret.get_secret_value())) for secret in secrets]


def _key(name: str, secret: str) -> bytes:
    text = secret.removeprefix(PREFIX)
    try:
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if text == secret or not key:
        raise SettingsError(f"HERALD_WEBHOOK_SECRETS: a secret of {name} is not {PREFIX} and base64")
    return key
