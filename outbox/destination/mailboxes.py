"""Which text is one mailbox: `ada@example.com`, `Ada <ada@example.com>`, `"Lovelace, Ada" <ada@example.com>`.

Narrower than RFC 5322 on purpose: no groups, lists, comments, routes, quoted local parts or address
literals, because programs disagree about them, and a recipient must be the same one for all.
Internationalised domains become their ASCII form; a local part that is not ASCII stays as it is and
needs a server with SMTPUTF8.
"""

import re
import unicodedata

import idna
import msgspec

from herald.outbox.destination.header_text import hidden_control
from herald.outbox.message.notification import AddressError

MAX_LOCAL_PART = 64  # bytes, RFC 5321 section 4.5.3.1.1
MAX_DOMAIN = 255  # bytes, RFC 5321 section 4.5.3.1.2
MAX_ADDRESS = 254  # bytes: a path of RFC 5321 has 256 with its angle brackets
MAX_NAME = 255  # characters of a display name
_MAX_TEXT = 2 * MAX_NAME + MAX_ADDRESS + 5  # characters: each of a quoted name may be escaped

_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a1-\U0010ffff]+")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SPECIALS = re.compile(r'[()<>\[\]:;@\\,"]')
_INVISIBLE = {"Cf", "Cn", "Co", "Zs"}  # format characters, unassigned, private, spaces


class Mailbox(msgspec.Struct, frozen=True):
    """`name` is "" where none was given; the domain of `address` is ASCII."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What follows the @."""
        return self.address.rpartition("@")[2]


def parse_mailbox(text: str) -> Mailbox:
    """The one mailbox that the text names. Raises AddressError that says what is wrong."""
    if len(text) > _MAX_TEXT:
        message = f"a mailbox has at most {_MAX_TEXT} characters, not {len(text)}"
        raise AddressError(message)
    if control := hidden_control(text):
        message = f"a mailbox contains no control characters, here {control}"
        raise AddressError(message)
    name, bracket, address = text.strip(" ").rpartition("<")
    if not bracket:
        return Mailbox("", _address(address))
    if not address.endswith(">"):
        raise AddressError("an address that begins with < ends with > and nothing follows")
    return Mailbox(_name(name.strip(" ")), _address(address[:-1]))


def _name(text: str) -> str:
    name = " ".join(_unquoted(text).split())  # programs disagree about spaces in a row
    if len(name) > MAX_NAME:
        message = f"a display name has at most {MAX_NAME} characters, not {len(name)}"
        raise AddressError(message)
    if control := hidden_control(name):
        message = f"a display name contains no control characters, here {control}"
        raise AddressError(message)
    return name


def _unquoted(text: str) -> str:
    if quoted := _QUOTED.fullmatch(text):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if special := _SPECIALS.search(text):
        message = f'a display name with {special[0]} stands in quotes: "Lovelace, Ada" <ada@example.com>'
        raise AddressError(message)
    return text


def _address(text: str) -> str:
    local_part, at, domain = text.rpartition("@")
    if not at:
        raise AddressError("an address has an @ between local part and domain")
    address = f"{_local_part(local_part)}@{_domain(domain)}"
    if len(address.encode()) > MAX_ADDRESS:
        message = f"an address has at most {MAX_ADDRESS} bytes, not {len(address.encode())}"
        raise AddressError(message)
    return address


def _local_part(text: str) -> str:
    if len(text.encode()) > MAX_LOCAL_PART:
        message = f"the part before the @ has at most {MAX_LOCAL_PART} bytes, not {len(text.encode())}"
        raise AddressError(message)
    if text.startswith('"'):
        raise AddressError("a quoted part before the @ is not supported")
    for atom in text.split("."):
        if not _ATOM.fullmatch(atom) or any(unicodedata.category(character) in _INVISIBLE for character in atom):
            raise AddressError(
                "the part before the @ has letters, digits and !#$%&'*+-/=?^_`{|}~, with single dots inside"
            )
    return text


def _domain(text: str) -> str:
    domain = text if text.isascii() else _ascii(text)
    labels = domain.split(".")
    if len(domain) > MAX_DOMAIN:
        message = f"a domain has at most {MAX_DOMAIN} bytes, not {len(domain)}"
        raise AddressError(message)
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressError("a domain has letters, digits and hyphens, in parts of 1 to 63 between its dots")
    if labels[-1].isdigit():
        raise AddressError("a domain is a name, not an IP address")
    return domain


def _ascii(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True, std3_rules=True).decode()
    except idna.IDNAError:
        raise AddressError("the domain is no internationalised name of IDNA 2008") from None
