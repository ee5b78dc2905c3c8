"""A server that is away makes ready red, and never live."""

from threading import Event
from time import monotonic

import httpx2

from herald.outbox.watched.life import LIMIT
from tests.conftest import StartHerald
from tests.pipeline.records import arrival
from tests.pipeline.topics import publish
from tests.proof.end_to_end.conftest import QUICK
from tests.proof.end_to_end.system import ROLES, STARTED, Herald
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer
from tests.servers.tansu import Tansu

RED_WITHIN = 30.0  # seconds, as the docs promise


def test_servers_that_are_away_make_ready_red_and_never_live(
    migrated_server: PostgresServer, own_broker: Tansu, start_herald: StartHerald
) -> None:
    """Frozen, so that nothing answers: each for longer than a thread may be silent, with work in hand."""
    servers = {"DATABASE_URL": migrated_server.url(), "KAFKA_BOOTSTRAP_SERVERS": own_broker.bootstrap_servers}
    herald = Herald(start_herald, {**QUICK, **servers, "HERALD_WINDOW_SECONDS": "1"})
    herald.start_and_deliver()
    herald.post_notification()
    migrated_server.freeze()
    publish(own_broker.bootstrap_servers, arrival(topic="generic_topic"))

    eventually(lambda: unready(herald) == set(ROLES), RED_WITHIN, what="nobody is ready")
    assert_live_for(herald, LIMIT + 10)
    migrated_server.thaw()
    eventually(lambda: unready(herald) == set(), STARTED, what="all are ready again")

    own_broker.child.pause()
    herald.post_notification()
    eventually(lambda: unready(herald) == {"relay", "pipeline"}, RED_WITHIN, what="who needs Kafka is not ready")
    assert_live_for(herald, LIMIT + 10)
    own_broker.child.resume()


def unready(herald: Herald) -> set[str]:
    return {role for role in ROLES if herald.revive() and herald.health(role, "ready")[0] == 503}


def assert_live_for(herald: Herald, seconds: float) -> None:
    """Whoever runs; a pipeline that ends in a long outage, by design, is started again."""
    end, pause = monotonic() + seconds, Event()
    while monotonic() < end:
        pause.wait(0.5)
        herald.revive()
        for role in ROLES:
            assert not stuck(herald, role), role


def stuck(herald: Herald, role: str) -> str:
    """What it says, nothing where the port is not there yet."""
    try:
        status, text = herald.health(role, "live")
    except httpx2.TransportError:
        return ""
    return "" if status == 200 else text
