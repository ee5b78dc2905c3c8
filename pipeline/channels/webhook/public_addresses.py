"""Which addresses a caller's URL may lead to: public ones, and networks that an operator allows.

A deny-list of our own: `ipaddress.is_global` of Python 3.11 lets through NAT64, 6to4, mapped and
multicast forms of private addresses. Sources: the IANA special-purpose registries for IPv4 and IPv6
(https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry), and what
clouds answer on (168.63.129.16 is Azure's host, reachable from every virtual machine).
"""

import ipaddress
from collections.abc import Iterable

from herald.outbox.settings import SettingsError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; some clouds' metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host
        "169.254.0.0/16",  # link-local; metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/3",  # unspecified, loopback, mapped, compatible, translated, NAT64 and discard: nothing here is allocated
        "2001::/23",  # Teredo, ORCHID and other protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
        "4000::/2",  # not allocated
        "8000::/1",  # not allocated; unique local, link-local, site-local and multicast among it
    )
)


class ForbiddenAddressError(Exception):
    """Nothing may be sent there; the text names the address."""


def check_address(address: str, *, allowed: Iterable[Network]) -> None:
    """Raise ForbiddenAddressError for an address with a zone, or one that is neither public nor allowed."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        found = None
    if found is None or (isinstance(found, ipaddress.IPv6Address) and found.scope_id):
        raise ForbiddenAddressError(f"{address} is no plain IP address")
    if any(found in network for network in allowed):
        return
    if any(found in network for network in NOT_PUBLIC):
        raise ForbiddenAddressError(f"{address} is not public; HERALD_WEBHOOK_NETWORKS does not allow it")


def parse_networks(texts: Iterable[str]) -> list[Network]:
    """The networks of the setting. Raises SettingsError naming the one that is wrong."""
    try:
        return [ipaddress.ip_network(text) for text in texts]
    except ValueError as error:
        raise SettingsError(f"HERALD_WEBHOOK_NETWORKS: {error}") from None
