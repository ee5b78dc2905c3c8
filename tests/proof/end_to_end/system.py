"""Herald whole: api, relay and pipeline as processes, and what a caller and an operator see of them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpx2

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.conftest import StartHerald
from tests.outbox.connections import assert_projection_equals_log, connected
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.ports import free_port

ROLES = ("api", "relay", "pipeline")
STARTED = 60.0  # seconds; about 4 on an idle machine, far more on a busy one with a broker that has just begun
SETTLED = 60.0  # seconds; leases and sessions of what was killed have to end, and retries to come due


class Herald:
    """The processes of one Herald by their roles; the API keeps its address when it is started again."""

    def __init__(self, start: StartHerald, settings: dict[str, str]) -> None:
        self._start = start
        self._port = free_port()
        self.settings = {**settings, "HERALD_PORT": str(self._port)}
        self.watched = {role: free_port() for role in ROLES}  # where each is seen from outside
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=30.0)
        self.processes: dict[str, HeraldProcess] = {}

    def start(self, *roles: str) -> None:
        """Start these roles, all without a name; returns at once."""
        for role in roles or ROLES:
            if role in self.processes:
                self.processes[role].start()
            else:
                watched = {"HERALD_METRICS_PORT": str(self.watched[role])}
                self.processes[role] = self._start(role, **{**watched, **self.settings})

    def start_and_deliver(self) -> None:
        """Start everything and wait until a first notification is sent: from then on nothing has to start."""
        self.start()
        self.await_api()
        first = self.post_notification("first")
        eventually(lambda: self.look(first)["status"] == "sent", STARTED, what="the first notification is sent")

    def await_api(self) -> None:
        eventually(self._is_ready, STARTED, what="the API is ready")

    def stop(self, role: str) -> int | None:
        """SIGTERM; returns the exit code."""
        return self.processes[role].stop()

    def kill(self, role: str) -> None:
        self.processes[role].kill()

    def revive(self) -> bool:
        """Start again whatever has ended, as every supervisor does; always true, so that a condition can begin with it.

        Quix ends its process on a lost session or a failed commit.
        """
        for process in self.processes.values():
            if not process.running:
                process.start()
        return True

    def post_notification(self, user: str = "ada", content: str = "hello", **more: str) -> str:
        """Returns the id; raises AssertionError for any answer but 202."""
        return self.post("/notifications", {"user_id": user, "event": "greeting", "content": content, **more})

    def post_message(self, data: Any, key: str | None = None) -> str:
        """To `generic_topic`; returns the id."""
        return self.post("/messages", {"topic": "generic_topic", "key": key, "data": data})

    def post(self, path: str, body: Any) -> str:
        answer = self.client.post(path, json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def look(self, message: str) -> dict[str, Any]:
        """A message as the API shows it."""
        return self.get(f"/messages/{message}")

    def get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(path).raise_for_status().json()
        return found

    def assert_projection_equals_log(self) -> int:
        """In one snapshot, so that it holds while work goes on; returns how many messages there are."""
        place = {"HERALD_SCHEMA": self.settings.get("HERALD_SCHEMA", "herald")}
        prefix = self.settings.get("HERALD_TOPIC_PREFIX", "")
        with connected(self.settings["DATABASE_URL"], topic_prefix=prefix, **place) as connection:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            return assert_projection_equals_log(connection)

    def scrape(self, role: str) -> str:
        """The metrics of a process."""
        return self.client.get(f"http://127.0.0.1:{self.watched[role]}/metrics").raise_for_status().text

    def health(self, role: str, state: str) -> tuple[int, str]:
        """`live` or `ready` on its own port: status and text."""
        answer = self.client.get(f"http://127.0.0.1:{self.watched[role]}/health/{state}")
        return answer.status_code, answer.text

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/health/ready").is_success
        except httpx2.TransportError:
            return False


MakeHerald = Callable[..., Herald]


def statuses(connection: Connection) -> dict[str, int]:
    """How many messages are in each status."""
    return dict(fetch(connection, "SELECT status, count(*) FROM messages GROUP BY status"))


def unsent(connection: Connection, messages: Iterable[str]) -> list[tuple[str, str]]:
    """Which of these are not sent, with their status; one the database does not know is `lost`."""
    return [
        (message, status)
        for message, status in fetch(
            connection,
            "SELECT asked.id::text, coalesce(m.status, 'lost') FROM unnest(%s::uuid[]) AS asked(id)"
            " LEFT JOIN messages AS m ON m.id = asked.id WHERE m.status IS DISTINCT FROM 'sent'",
            list(messages),
        )
    ]


def await_all_sent(herald: Herald, connection: Connection, messages: Sequence[str], deadline: float = SETTLED) -> None:
    """Wait until all of these are sent, and nothing else is unfinished either."""

    def settled() -> bool:
        herald.revive()
        left = unsent(connection, messages)
        assert not left, f"{len(left)} of {len(messages)} are not sent: {left[:5]}"
        assert set(statuses(connection)) == {"sent"}
        return True

    eventually(settled, deadline, what="everything is sent")


def requests_per_message(connection: Connection) -> float:
    ((ratio,),) = fetch(connection, "SELECT sum(request)::float / count(*) FROM messages")
    return float(ratio)


def show(text: str) -> None:
    """A figure for the report of the run: `pytest -rP` or `-s` prints it."""
    print(text)  # noqa: T201 - it is what the test measured
