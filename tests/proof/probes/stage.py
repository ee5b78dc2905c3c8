"""A Herald whose parts can be frozen, under a light load, watched by its probes."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import httpx2

from herald.outbox.acceptance.api_keys import Grant, make_key
from tests.conftest import ROOT
from tests.outbox.connections import connected
from tests.proof.end_to_end.conftest import QUICK
from tests.proof.end_to_end.system import ROLES, Herald, unsent
from tests.proof.probes.frozen import FREEZE, HANGS, PROGRAM, SILENT_FOR
from tests.proof.probes.watching import Watching
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.ports import free_port

STANDBY = "standby"  # a second relay
PAUSE = 0.2  # seconds between two requests
PATIENCE = 3.0  # seconds for an answer
SETTLED = 120.0  # seconds until all that was accepted is sent
SHORT = {"HERALD_WINDOW_SECONDS": "0.5", "HERALD_DELIVERY_TIMEOUT": "2", "HERALD_LEASE": "5", "HERALD_OPEN": "no"}


@dataclass
class Load:
    """Every 0.2 s requests that send, and one that reads; what is not answered is given up."""

    herald: Herald
    accepted: list[str] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        threads = [Thread(target=self._repeat, args=(act,)) for act in (self._notify, self._send, self._read)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self._stop.wait(PAUSE):
            with contextlib.suppress(httpx2.TransportError, httpx2.HTTPStatusError, AssertionError):
                act()

    def _notify(self) -> None:
        self.accepted.append(self.herald.post_notification(f"user-{len(self.accepted)}"))

    def _send(self) -> None:
        self.accepted.append(self.herald.post_message({"number": len(self.accepted)}, f"user-{len(self.accepted)}"))

    def _read(self) -> None:
        if self.accepted:
            self.herald.look(self.accepted[-1])


@dataclass(frozen=True)
class Stage:
    """`ended` are those that ended by themselves, each time that they did."""

    herald: Herald
    load: Load
    watching: Watching
    folder: Path
    ended: list[str] = field(default_factory=list)

    def freeze(self, role: str, part: str) -> None:
        """Return once it hangs, where it came by next."""
        file = self.folder / role
        mark = file.with_suffix(HANGS)
        mark.unlink(missing_ok=True)
        file.write_text(part)
        eventually(mark.exists, SETTLED, what="it hangs")

    def thaw(self, role: str) -> None:
        (self.folder / role).unlink()

    def revive(self) -> bool:
        """Start again what has ended by itself; always true, so that a condition can begin with it."""
        for role, process in self.herald.processes.items():
            if not process.running:
                self.ended.append(role)
                process.start()
        return True

    def have_relay_lead(self) -> None:
        """It, and not the standby, which leads where the relay's session was silent for too long."""
        if not self._leads():
            self.herald.stop(STANDBY)
            eventually(self._leads, SETTLED, what="the relay leads")
            self.herald.start(STANDBY)

    def _leads(self) -> bool:
        return "\nherald_relay_leads 1.0\n" in self.herald.scrape("relay")

    def lost(self) -> int:
        """How many of those that were accepted so far are not sent once all is normal."""
        accepted = list(self.load.accepted)
        with connected(self.herald.settings["DATABASE_URL"]) as connection:
            connection.autocommit = True
            with contextlib.suppress(AssertionError):
                eventually(lambda: self.revive() and not unsent(connection, accepted), SETTLED)
            return len(unsent(connection, accepted))


@contextlib.contextmanager
def staged(
    folder: Path, url: str, kafka: str, settings: dict[str, str], *, silent_for: float | None = None
) -> Iterator[Stage]:
    """On a migrated database; all are ready when it begins."""
    frozen = {"PYTHONPATH": str(ROOT), SILENT_FOR: str(silent_for) if silent_for else ""}
    servers = {"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": kafka, "HERALD_GROUP": f"herald-{uuid4().hex[:8]}"}

    def start(name: str, **own: str) -> HeraldProcess:
        role = "relay" if name == STANDBY else name
        process = HeraldProcess(role, folder=folder, settings={**own, FREEZE: str(folder / name)}, program=PROGRAM)
        process.start()
        return process

    herald = Herald(start, {**QUICK, **SHORT, **servers, **frozen, **settings})
    herald.watched[STANDBY] = free_port()
    with connected(url) as connection, connection:
        name = f"key-{uuid4().hex[:8]}"
        key = make_key(connection, name, Grant(name, ["send", "read"], None, None))
    herald.client = httpx2.Client(
        base_url=herald.client.base_url, timeout=PATIENCE, headers={"authorization": f"Bearer {key}"}
    )
    try:
        herald.start(*ROLES)
        herald.await_api()
        eventually(lambda: herald.look(herald.post_notification())["status"], SETTLED, what="it is accepted")
        herald.start(STANDBY)
        load = Load(herald)
        with load.running(), Watching(herald.watched) as watching:
            stage = Stage(herald, load, watching, folder)
            eventually(lambda: watching.all_green and load.accepted, SETTLED, what="all are green")
            yield stage
    finally:
        for process in herald.processes.values():
            process.kill()
        herald.client.close()
