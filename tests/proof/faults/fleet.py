"""The processes of one Herald, several of each role, killed and started again as a supervisor would."""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.proof.end_to_end.destinations import WEBHOOKS
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess, herald_environment
from tests.servers.ports import accepts, free_port

STARTED = 90.0  # seconds until everything runs, on a busy machine
ROLES = ("api", "relay", "pipeline")
READY = {"relay": ("standing_by", "leading"), "pipeline": ("pipeline_started",)}  # in the log
CRASH_AT = "HERALD_CRASH_AT"
NEEDED = {
    **WEBHOOKS,
    "HERALD_DESTINATION_CONCURRENCY": "100",  # all goes to one provider
}
HURRIED = {
    "HERALD_SWEEP_SECONDS": "1",  # what Kafka lost is found at once
    "HERALD_SESSION_TIMEOUT": "3",  # a killed pipeline's partitions are free after it
    "HERALD_LEASE": "5",  # so are the messages it had claimed
    "HERALD_DELIVERY_TIMEOUT": "3",
    "HERALD_BREAKER_FAILURES": "1000",  # the provider's calls break only because their caller is killed
    "HERALD_MAX_ATTEMPTS": "100",
    "HERALD_RETRY_CAP": "2",
}


class Member(HeraldProcess):
    """One process that may be armed: to kill or stop itself at a crash point after its next start."""

    def __init__(self, name: str, folder: Path, settings: dict[str, str]) -> None:
        super().__init__(name.partition("-")[0], folder=folder, settings=settings)
        self.log = folder / f"{name}.log"
        self._settings = settings
        self._port = int(settings["HERALD_PORT"])
        self._read = 0
        self._was_ready = False
        self.armed: str | None = None

    def tell(self, **settings: str) -> None:
        """Other settings, from its next start on."""
        self._settings = {**self._settings, **settings}

    def start(self) -> None:
        arms = {CRASH_AT: self.armed} if self.armed else {}
        self._env = herald_environment({**self._settings, **arms})
        self._read = self.log.stat().st_size if self.log.exists() else 0
        self._was_ready = False
        super().start()

    @property
    def is_ready(self) -> bool:
        """Whether it has come up since its last start, and not ended."""
        self._was_ready = self._was_ready or self._looks_ready()
        return self._was_ready and self.running

    def _looks_ready(self) -> bool:
        if self.role == "api":
            return accepts(self._port)
        return any(f'"{event}"' in self.output_since_start() for event in READY[self.role])

    def output_since_start(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._read)
            return log.read().decode(errors="replace")


class Fleet:
    """Processes by name, `api-1` for example; `ports` are those of the APIs.

    `of_each` role there are so many, but for `pipelines` where that is given.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        bootstrap_servers: str,
        *,
        of_each: int = 2,
        pipelines: int | None = None,
        settings: dict[str, str],
    ) -> None:
        self.settings = {
            **NEEDED,
            "DATABASE_URL": database,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "HERALD_GROUP": f"herald-{uuid4().hex[:8]}",
            **settings,
        }
        self.ports = [free_port() for _ in range(of_each)]
        self.members = {
            f"{role}-{number}": Member(
                f"{role}-{number}", folder, {**self.settings, "HERALD_PORT": str(self.ports[number - 1])}
            )
            for role in ROLES
            for number in range(1, 1 + (pipelines if pipelines and role == "pipeline" else of_each))
        }

    @contextmanager
    def running(self) -> Iterator["Fleet"]:
        """All started and ready; killed at the end."""
        try:
            for member in self.members.values():
                member.start()
            eventually(self.is_ready, STARTED, what="every process is ready")
            yield self
        finally:
            for member in self.members.values():
                member.kill()

    def of(self, role: str) -> dict[str, Member]:
        return {name: member for name, member in self.members.items() if member.role == role}

    def is_ready(self) -> bool:
        self.revive()
        return all(member.is_ready for member in self.members.values())

    def revive(self, at_once: int = 6, *, but: Container[Member] = ()) -> bool:
        """Start whatever has ended, as every supervisor does, not too many at once; always true."""
        starting = sum(member.running and not member.is_ready for member in self.members.values())
        for member in self.members.values():
            if not member.running and member not in but and starting < at_once:
                member.start()
                starting += 1
        return True
