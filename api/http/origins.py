"""Whether a browser asks for a page of somebody else's.

Any page may have a browser post to any address that it reaches, this machine's among them. The browser says where a
request comes from: in Sec-Fetch-Site where the connection is secure or local, else in Origin.
"""

from collections.abc import Mapping
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
