"""What a browser may not ask for the sake of somebody else's page.

Any page may have a browser post to any address that it reaches, this machine's among them. The browser says where a
request comes from: in Sec-Fetch-Site where the connection is secure or local, else in Origin.
"""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus

from herald.api.http.problems import ProblemError

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # change nothing, and a foreign page cannot read their answers
_OWN = frozenset({b"same-origin", b"none"})  # `none`: a person, not a page


def refuse_foreign(method: str, headers: Mapping[bytes, bytes]) -> None:
    """Raises ProblemError: 403."""
    if method in SAFE:
        return
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None:  # a proxy may have changed Host, on which the other way depends
        is_foreign = site not in _OWN
    else:
        is_foreign = origin is not None and origin.partition(b"://")[2] != headers.get(b"host")
    if is_foreign:
        sent = (origin or b"another origin").decode("latin-1")
        raise ProblemError(HTTPStatus.FORBIDDEN, f"a page of {sent} asks for it, and only pages of this address may")


def refuse_rebound(headers: Mapping[bytes, bytes], host: str) -> None:
    """A page's own name may be made to lead here, which makes it a page of this address: only addresses are none's.

    `host` is where the service listens. Raises ProblemError: 403.
    """
    sent = headers.get(b"host", b"").decode("latin-1")
    if sent and not _leads_nowhere_else(sent, host):
        detail = f"without keys this is served by its address or as localhost, not as {sent[:100]} (HERALD_OPEN)"
        raise ProblemError(HTTPStatus.FORBIDDEN, detail)


@lru_cache(maxsize=64)
def _leads_nowhere_else(sent: str, host: str) -> bool:
    name = sent[1:].partition("]")[0] if sent.startswith("[") else sent.partition(":")[0]
    if name.lower() in {"localhost", host.lower()}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
