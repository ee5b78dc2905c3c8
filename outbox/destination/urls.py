"""Which text is the URL of a webhook, taken apart once so that no other parser reads it differently."""

import ipaddress
import re
from urllib.parse import urlsplit

import idna
import msgspec

from herald.outbox.message.notification import MAX_ADDRESS, AddressError

PORTS = {"http": 80, "https": 443}
MAX_PORT = 65_535
MAX_HOST = 253  # characters of a domain name, RFC 1035 section 2.3.4 without the root's dot
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label like this makes other programs read an IPv4 address
_PORT = re.compile(r"(:\d*)?")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\]")


class Url(msgspec.Struct, frozen=True):
    """`host` is ASCII, an IPv6 address without brackets; `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """As it stands in a URL and in the header Host: `host`, or `host:port` where the port is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_fixed(self) -> bool:
        """Whether its host leads to one machine for ever: an address, or localhost (RFC 6761, section 6.3)."""
        last = self.host.split(".")[-1]
        return ":" in self.host or bool(_NUMBER.fullmatch(last)) or last == "localhost"


def parse_url(text: str) -> Url:
    """Take it apart. Raises AddressError that says what is wrong."""
    if len(text) > MAX_ADDRESS:
        message = f"{len(text)} characters, the limit is {MAX_ADDRESS}"
        raise AddressError(message)
    if _FORBIDDEN.search(text):
        raise AddressError("has a space, a control character or a backslash in it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        message = f"is no URL: {error}"
        raise AddressError(message) from None
    if parts.scheme not in PORTS:
        raise AddressError("must begin with https:// or http://")
    if "@" in parts.netloc:
        raise AddressError("must not have a user name or a password in it")
    if "#" in text:
        raise AddressError("must not have a fragment (#)")
    if port == 0:
        message = f"the port must be 1 to {MAX_PORT}"
        raise AddressError(message)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii():
        raise AddressError("path and query must be ASCII: encode other characters with %")
    return Url(parts.scheme, _host(parts.netloc, parts.hostname or ""), port or PORTS[parts.scheme], target)


def _host(netloc: str, host: str) -> str:
    if netloc.startswith("["):
        if not _PORT.fullmatch(netloc.partition("]")[2]):  # urlsplit drops what stands between ] and the port
            raise AddressError("must have only a port behind the brackets of its host")
        return _ipv6(host)
    if not host:
        raise AddressError("has no host")
    name = _ascii(host)
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(name)
    if len(name) > MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        message = f"its host is no domain name of at most {MAX_HOST} characters"
        raise AddressError(message)
    return name


def _ascii(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError as error:
        message = f"its host is no domain name: {error}"
        raise AddressError(message) from None


def _ipv4(host: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise AddressError("its host is a number, but no IPv4 address as a.b.c.d") from None


def _ipv6(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        raise AddressError("its host is no IPv6 address") from None
    if address.scope_id:
        raise AddressError("its host has a zone (%)")
    return str(address)
