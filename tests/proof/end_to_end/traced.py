"""Herald whole, on the embedded broker, with a collector of its spans and somebody who gets its webhooks."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from uuid import uuid4

from tests.conftest import StartHerald
from tests.proof.end_to_end.conftest import QUICK
from tests.proof.end_to_end.destinations import WEBHOOKS
from tests.proof.end_to_end.system import Herald
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.http_server import HttpServer
from tests.servers.otlp import Collector, Exported
from tests.servers.tansu import Tansu

AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "50"}  # milliseconds until spans are exported
EXPORTED = 30.0  # seconds


class System(Herald):
    """Its processes, who collects and who receives."""

    def __init__(self, start: StartHerald, settings: dict[str, str], seen: tuple[Collector, HttpServer]) -> None:
        super().__init__(start, settings)
        self.collector, self.receiver = seen

    def hops(self, message: str, most: int) -> list[Exported]:
        """The spans of a message as they began, once there are so many."""

        def found() -> list[Exported]:
            spans = self.collector.of_message(message)
            assert len(spans) >= most, [span.name for span in spans]
            return spans

        return eventually(found, EXPORTED)


@contextmanager
def traced_herald(database: str, folder: Path, **settings: str) -> Iterator[System]:
    """It has delivered."""
    with ExitStack() as stack:
        broker = stack.enter_context(Tansu(folder)).bootstrap_servers
        collector, receiver = stack.enter_context(Collector()), stack.enter_context(HttpServer())

        def start(role: str, **settings: str) -> HeraldProcess:
            process = HeraldProcess(role, folder=folder, settings=settings)
            stack.callback(process.kill)
            process.start()
            return process

        servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": broker}
        traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **AT_ONCE}
        said = {"HERALD_GROUP": f"herald-{uuid4().hex[:8]}", "HERALD_RETRY_BASE": "0.1", **WEBHOOKS, **settings}
        system = System(start, {**QUICK, **servers, **traces, **said}, (collector, receiver))
        stack.enter_context(closing(system.client))
        system.start_and_deliver()
        yield system
