"""The machinery that every other test stands on."""

import tempfile
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from herald.outbox.postgres.driver import PostgresError, connect_plainly
from herald.outbox.postgres.statements import execute, fetch_value
from tests.conftest import on_both_brokers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.postgres import FAST, PostgresServer, standby_of
from tests.servers.tansu import Tansu

REAPED = 10.0  # seconds until the postmaster has waited for a process that ended


def test_eventually_returns_the_value_that_held() -> None:
    values = iter([0, 0, 7])

    assert eventually(lambda: next(values)) == 7


def test_eventually_shows_the_last_value_when_time_is_up() -> None:
    with pytest.raises(AssertionError, match=r"three rows did not hold within 0\.05 s; last: \[\]"):
        eventually(list, 0.05, what="three rows")


def test_eventually_counts_a_failed_assertion_as_not_yet() -> None:
    answers = iter([False, True])

    def condition() -> bool:
        assert next(answers)
        return True

    assert eventually(condition)


def test_a_child_shows_its_log_when_it_ends_before_it_said_the_line(tmp_path: Path) -> None:
    child = Child(["sh", "-c", "echo broken"], log=tmp_path / "log")
    child.start()

    with pytest.raises(AssertionError, match="broken"):
        child.wait_for("ready")


def test_a_paused_child_can_still_be_stopped(tmp_path: Path) -> None:
    child = Child(["sleep", "60"], log=tmp_path / "log")
    child.start()
    child.pause()

    assert child.stop() == -15


def test_an_empty_database_takes_tables(empty_database: str) -> None:
    with connect_plainly(empty_database) as connection:
        execute(connection, "CREATE TABLE one (n int)")

        assert fetch_value(connection, "SELECT count(*) FROM one") == 0
    connection.close()


def test_a_database_comes_migrated_and_empty(database: str) -> None:
    with connect_plainly(database) as connection:
        assert fetch_value(connection, "SELECT count(*) FROM herald.outbox") == 0
    connection.close()


def test_a_killed_postgresql_keeps_what_was_committed(own_server: PostgresServer) -> None:
    own_server.execute("CREATE TABLE kept ()")

    own_server.kill()
    own_server.start()

    own_server.execute("SELECT * FROM kept")


def test_a_kept_cluster_is_there_for_the_next_server() -> None:
    with tempfile.TemporaryDirectory(prefix="herald-kept-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # for PostgreSQL's account
        with PostgresServer(kept=folder / "cluster") as first:
            first.execute("CREATE TABLE kept ()")

        with PostgresServer(kept=folder / "cluster") as second:
            second.execute("SELECT * FROM kept")


def test_what_a_server_used_includes_its_ended_processes(server: PostgresServer) -> None:
    before = server.cpu_seconds()

    server.execute("SELECT count(*) FROM generate_series(1, 2000000)")  # on a connection that is closed after it

    eventually(lambda: server.cpu_seconds() - before > 0.05, REAPED)


def test_a_server_leaves_no_shared_memory_behind() -> None:
    with PostgresServer() as server:
        assert server.child.pid in makers_of_shared_memory()

    assert server.child.pid not in makers_of_shared_memory()


def makers_of_shared_memory() -> set[int]:
    """The processes that made the segments there are."""
    _, *segments = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()
    return {int(segment.split()[4]) for segment in segments}


@on_both_brokers
def test_each_broker_hands_back_what_it_took(each_broker: str) -> None:
    _create_topic(each_broker)

    producer = Producer({"bootstrap.servers": each_broker})
    producer.produce("letters", b"hello")

    assert producer.flush(10) == 0
    assert _first_record(each_broker) == b"hello"


@on_both_brokers
def test_each_broker_starts_without_topics(each_broker: str) -> None:
    topics = AdminClient({"bootstrap.servers": each_broker}).list_topics(timeout=10).topics

    assert [name for name in topics if not name.startswith("__")] == []


def test_the_embedded_broker_forgets_everything_at_its_end(own_broker: Tansu) -> None:
    _create_topic(own_broker.bootstrap_servers)

    own_broker.stop()
    own_broker.start()

    assert (
        "letters" not in AdminClient({"bootstrap.servers": own_broker.bootstrap_servers}).list_topics(timeout=10).topics
    )


@pytest.mark.kafka
@pytest.mark.proof
def test_a_killed_apache_kafka_keeps_its_topics(own_kafka: ApacheKafka) -> None:
    _create_topic(own_kafka.bootstrap_servers)

    own_kafka.kill()
    own_kafka.start()

    assert own_kafka.topics() == {"letters"}


def _create_topic(bootstrap_servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic("letters", 1, 1)])["letters"].result(10)


def _first_record(bootstrap_servers: str) -> bytes | None:
    # the embedded broker lets the first member in after half a session
    session = {"session.timeout.ms": 1000, "heartbeat.interval.ms": 200}
    settings = {"bootstrap.servers": bootstrap_servers, "group.id": "readers", "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, **session})
    consumer.subscribe(["letters"])
    try:
        record = consumer.poll(20.0)
        return record.value() if record else None
    finally:
        consumer.close()


def test_a_standby_follows_until_it_is_promoted(own_server: PostgresServer) -> None:
    with standby_of(own_server) as standby:
        own_server.execute("CREATE TABLE one (n int)")
        eventually(lambda: standby.ask("SELECT to_regclass('one')::text") == "one")
        assert standby.ask("SELECT pg_is_in_recovery()")

        standby.promote()

        standby.execute("INSERT INTO one VALUES (1)")
        assert standby.ask("SELECT system_identifier FROM pg_control_system()") == own_server.ask(
            "SELECT system_identifier FROM pg_control_system()"
        )


def test_a_full_disk_refuses_writes_until_there_is_space() -> None:
    with PostgresServer({**FAST, "max_wal_size": "32MB", "min_wal_size": "32MB"}, disk=250 << 20) as server:
        assert server.disk
        server.execute("CREATE TABLE one (text text)")
        server.disk.fill(leave=1 << 20)

        with pytest.raises(PostgresError):
            server.execute("INSERT INTO one SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
        server.disk.free()

        eventually(lambda: answers(server, "INSERT INTO one VALUES ('small')"))


def answers(server: PostgresServer, statement: str) -> bool:
    try:
        server.execute(statement)
    except PostgresError:
        return False
    return True
