"""One Herald, whole, for all clients, and a run of the vectors against it."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.stub import Stub
from tests.clients.vectors import assert_received, make_vectors
from tests.conftest import made_database
from tests.proof.end_to_end.conftest import QUICK
from tests.proof.end_to_end.system import STARTED, Herald
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.postgres import PostgresServer
from tests.servers.tansu import Tansu


@dataclass(frozen=True)
class Run:
    """The vectors of one run, in a file for other languages, and where the clients find both servers."""

    vectors: dict[str, Any]
    file: Path
    herald_url: str
    stub_url: str
    database_url: str

    @property
    def environment(self) -> dict[str, str]:
        """What the runners in other languages are told."""
        return {
            "HERALD_VECTORS": str(self.file),
            "HERALD_URL": self.herald_url,
            "HERALD_STUB_URL": self.stub_url,
            "DATABASE_URL": self.database_url,
        }


MakeRun = Callable[..., AbstractContextManager[Run]]


@pytest.fixture(scope="session")
def herald(
    server: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Herald]:
    """All processes, ready to deliver."""
    folder = tmp_path_factory.mktemp("clients")
    with ExitStack() as stack:

        def start(role: str, **settings: str) -> HeraldProcess:
            process = HeraldProcess(role, folder=folder, settings=settings)
            stack.callback(process.kill)
            process.start()
            return process

        url = stack.enter_context(made_database(server, migrated_template))
        broker = stack.enter_context(Tansu(folder))
        servers = {"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
        herald = Herald(start, {**QUICK, **servers})
        herald.start_and_deliver()
        yield herald
        herald.client.close()


@pytest.fixture(scope="session")
def sent(herald: Herald) -> str:
    """The id of a notification that was delivered."""
    posted = herald.post_notification()
    eventually(lambda: herald.look(posted)["status"] == "sent", STARTED, what="it is sent")
    return posted


@pytest.fixture
def make_run(herald: Herald, sent: str, tmp_path: Path) -> MakeRun:
    """A context: at its end, what the stub received must be what the vectors say."""

    @contextmanager
    def make(*, over_http: bool = True) -> Iterator[Run]:
        vectors = make_vectors(sent=sent)
        file = tmp_path / "vectors.json"
        file.write_text(json.dumps(vectors), encoding="utf-8")
        url = str(herald.client.base_url).rstrip("/")
        with Stub(vectors["http"], url) as stub:
            yield Run(vectors, file, url, stub.url, herald.settings["DATABASE_URL"])
        if over_http:
            for vector, received in zip(vectors["http"], stub.received, strict=True):
                assert_received(vector, received)

    return make
