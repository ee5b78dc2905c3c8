"""An API that needs keys, and those who have them."""

import contextlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2

from herald.outbox.acceptance.api_keys import Grant, make_key, revoke_keys
from herald.outbox.acceptance.committer import Committer
from herald.outbox.postgres.connections import connect
from tests.api.conftest import make_settings
from tests.api.serving import serving
from tests.servers.eventually import eventually

GOOD = {"user_id": "1", "event": "e", "content": "c"}


class Locked:
    """It, its database, and what its operators do."""

    def __init__(self, url: str, port: int) -> None:
        self.settings = make_settings(url, open="no")
        self.port = port
        self._client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

    def key(self, name: str, *scopes: str, **more: Any) -> str:
        """A new one, by name and scopes."""
        given = {"owner": name, "topics": None, "lifetime": None, **more}
        with closing(connect(self.settings, "tests")) as connection, connection:
            return make_key(connection, name, Grant(scopes=scopes, **given))

    def good_key(self, name: str, *scopes: str, **more: Any) -> str:
        """The same, once the API knows it."""
        made = self.key(name, *scopes, **more)
        eventually(lambda: self.ask("POST", "/messages/x/cancel", made) != 401, what="the key is known")
        return made

    def revoke(self, name: str) -> None:
        with closing(connect(self.settings, "tests")) as connection, connection:
            revoke_keys(connection, name)

    def answer(self, method: str, path: str, key: str | None = None, **more: Any) -> httpx2.Response:
        """To a request with this key, made again where a busy machine did not read the keys in time."""
        found: list[httpx2.Response] = []

        def is_judged() -> bool:
            found.append(self.once(method, path, key, **more))
            return found[-1].status_code != 503

        eventually(is_judged, what="the keys are read")
        return found[-1]

    def once(self, method: str, path: str, key: str | None = None, **more: Any) -> httpx2.Response:
        """To the first request."""
        headers = {**more.get("headers", {}), **({} if key is None else {"authorization": f"Bearer {key}"})}
        return self._client.request(method, path, **{**more, "headers": headers})

    def ask(self, method: str, path: str, key: str | None = None, **more: Any) -> int:
        """Its status."""
        return self.answer(method, path, key, **more).status_code

    def post(self, key: str | None = None, **more: Any) -> httpx2.Response:
        """A notification."""
        return self.answer("POST", "/notifications", key, json=GOOD, **more)

    def close(self) -> None:
        self._client.close()


@contextlib.contextmanager
def locked(url: str) -> Iterator[Locked]:
    """The API on this database."""
    settings = make_settings(url, open="no")
    with serving(settings, Committer(settings)) as port, closing(Locked(url, port)) as api:
        yield api
