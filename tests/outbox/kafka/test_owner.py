"""One prefix of topics belongs to one Herald."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka import owner
from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.owner import OwnedElsewhereError, claim, find_owner, refuse_others, take_over
from herald.outbox.kafka.owner_topic import read_claims
from herald.outbox.kafka.topics import make_topics
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import OWNER_TOPIC
from herald.outbox.relay.command import command as relay_command
from herald.outbox.settings import Settings
from tests.conftest import StartHerald, on_both_brokers
from tests.outbox.connections import connected, make_settings
from tests.servers.eventually import eventually
from tests.servers.ports import free_port
from tests.servers.proxy import Proxy
from tests.servers.tansu import Tansu
from tests.servers.troubled_broker import TroubledBroker

ENDED = 30.0  # seconds until a process has refused
URL = "postgresql://127.0.0.1/herald"  # nobody connects


def a_herald(broker: str, **said: object) -> Settings:
    return make_settings(URL, KAFKA_BOOTSTRAP_SERVERS=broker, **said).of_instance(str(uuid4()), group="herald")


@pytest.fixture
def troubled(tmp_path: Path) -> Iterator[TroubledBroker]:
    """Once it is fenced, only the topic of claims has no leader."""
    with TroubledBroker(tmp_path) as troubled:
        troubled.has_leader = lambda topic, _partition: topic != OWNER_TOPIC
        yield troubled


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """What was logged of an unknown owner since it was last asked; nothing was before."""
    monkeypatch.setattr(owner, "_told", set())
    return lambda: [line for line in capsys.readouterr().out.splitlines() if "owner_unknown" in line]


def refuse_to_create(admin: AdminClient, monkeypatch: pytest.MonkeyPatch, *codes: int) -> list[int]:
    """Answer so many creations with these errors; returns those that are left."""
    left, create = list(codes), admin.create_topics

    def answer(wanted: list[Any], **said: Any) -> dict[str, Future[None]]:
        if not left:
            return create(wanted, **said)
        refused: Future[None] = Future()
        refused.set_exception(KafkaException(KafkaError(left.pop(0))))
        return {OWNER_TOPIC: refused}

    monkeypatch.setattr(admin, "create_topics", answer)
    return left


@on_both_brokers
def test_the_first_owns_the_topics_and_another_is_refused_by_name(each_broker: str) -> None:
    first, second = a_herald(each_broker), a_herald(each_broker)
    admin = make_admin(first)

    claim(first, admin)
    claim(first, admin)

    assert find_owner(first, admin) == first.instance
    for refused in (claim, refuse_others):
        with pytest.raises(OwnedElsewhereError, match=f"{first.instance}.*HERALD_TOPIC_PREFIX"):
            refused(second, admin)


@on_both_brokers
def test_of_heralds_that_come_at_once_exactly_one_wins(each_broker: str) -> None:
    heralds = [a_herald(each_broker) for _ in range(6)]

    def is_let_in(one: Settings) -> bool:
        try:
            claim(one, make_admin(one))
        except OwnedElsewhereError:
            return False
        return True

    with ThreadPoolExecutor(len(heralds)) as pool:
        let_in = list(pool.map(is_let_in, heralds))

    assert sum(let_in) == 1
    assert find_owner(heralds[0], make_admin(heralds[0])) == heralds[let_in.index(True)].instance


def test_of_two_that_have_both_seen_no_claim_the_lower_one_holds(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = a_herald(broker), a_herald(broker)
    admin = make_admin(first)
    read = read_claims
    claim(first, admin)
    monkeypatch.setattr(owner, "read_claims", lambda *said, **beyond: read(*said, **beyond) if beyond else [])

    with pytest.raises(OwnedElsewhereError):
        claim(second, admin)

    assert [one.instance for one in read(first)] == [first.instance]


def test_each_prefix_has_an_owner_of_its_own(broker: str) -> None:
    plain, shop = a_herald(broker), a_herald(broker, topic_prefix="shop.")

    claim(plain, make_admin(plain))
    claim(shop, make_admin(shop))

    assert find_owner(plain, make_admin(plain)) == plain.instance
    assert find_owner(shop, make_admin(shop)) == shop.instance


def test_what_a_wiped_broker_forgot_is_claimed_again(own_broker: Tansu) -> None:
    herald = a_herald(own_broker.bootstrap_servers)
    claim(herald, make_admin(herald))
    own_broker.stop()
    own_broker.start()

    eventually(lambda: find_owner(herald, make_admin(herald)) is None, ENDED)
    claim(herald, make_admin(herald))

    assert find_owner(herald, make_admin(herald)) == herald.instance


@on_both_brokers
def test_a_herald_that_is_gone_is_replaced_by_name_only(each_broker: str) -> None:
    gone, new = a_herald(each_broker), a_herald(each_broker)
    admin = make_admin(new)
    claim(gone, admin)

    with pytest.raises(OwnedElsewhereError, match="nothing was changed"):
        take_over(new, admin, str(uuid4()))
    take_over(new, admin, gone.instance)

    claim(new, admin)
    with pytest.raises(OwnedElsewhereError, match=new.instance):
        claim(gone, admin)


@pytest.mark.parametrize("process", ["relay", "pipeline"])
def test_no_process_works_on_the_topics_of_another_herald(
    process: str, database: str, broker: str, start_herald: StartHerald
) -> None:
    other = a_herald(broker)
    claim(other, make_admin(other))
    make_topics(make_admin(other), other)

    started = start_herald(process, DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=broker)
    eventually(lambda: not started.running, ENDED, what=f"{process} has refused")

    assert started.exit_code == 1
    assert f"belong to another Herald, {other.instance}" in started.output()
    assert "HERALD_TOPIC_PREFIX" in started.output()


def test_an_operator_takes_the_topics_over_and_the_relay_leads(
    database: str, broker: str, start_herald: StartHerald
) -> None:
    gone = a_herald(broker)
    claim(gone, make_admin(gone))
    servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": broker}

    command = start_herald("relay", "--replace-owner", gone.instance, **servers)
    eventually(lambda: not command.running, ENDED, what="it has ended")

    assert f"no longer to {gone.instance}" in command.output()
    start_herald("relay", **servers).wait_for("leading", ENDED)
    with connected(database) as connection:
        ((instance,),) = fetch(connection, "SELECT id::text FROM instance")
    assert find_owner(gone, make_admin(gone)) == instance


def test_where_the_topic_is_forbidden_that_is_said_once_and_all_goes_on(
    broker: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    herald = a_herald(broker)
    monkeypatch.setattr(owner, "_told", set())

    def forbidden(*_: object, **__: object) -> None:
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    monkeypatch.setattr(owner, "read_claims", forbidden)

    for _ in range(3):
        claim(herald, make_admin(herald))

    assert capsys.readouterr().out.count("owner_unknown") == 1
    assert OWNER_TOPIC in make_admin(herald).list_topics(timeout=10).topics


@pytest.mark.parametrize("look", [claim, refuse_others])
def test_a_topic_of_claims_without_a_leader_is_told_once_and_passed_over(
    look: Callable[[Settings, AdminClient], None], troubled: TroubledBroker, told: Callable[[], list[str]]
) -> None:
    herald = a_herald(troubled.bootstrap_servers)
    claim(herald, make_admin(herald))
    make_topics(make_admin(herald), herald)
    troubled.phase = "fenced"

    for _ in range(2):
        look(herald, make_admin(herald))

    (line,) = told()
    assert OWNER_TOPIC in line
    assert "no leader" in line
    troubled.phase = "well"
    with pytest.raises(OwnedElsewhereError):
        look(a_herald(troubled.bootstrap_servers), make_admin(herald))


def test_a_kafka_of_which_no_broker_is_alive_is_an_outage(
    troubled: TroubledBroker, told: Callable[[], list[str]]
) -> None:
    herald = a_herald(troubled.bootstrap_servers)
    claim(herald, make_admin(herald))
    make_topics(make_admin(herald), herald)
    troubled.has_leader = lambda _topic, _partition: False
    troubled.phase = "fenced"

    with pytest.raises(KafkaException):
        claim(herald, make_admin(herald))
    assert not told()


def test_a_topic_of_claims_without_a_leader_keeps_no_process_from_its_work(
    database: str, troubled: TroubledBroker, start_herald: StartHerald
) -> None:
    servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": troubled.bootstrap_servers}
    first = start_herald("relay", **servers)
    first.wait_for("leading", ENDED)
    first.stop()
    troubled.phase = "fenced"

    relay, pipeline = start_herald("relay", **servers), start_herald("pipeline", **servers)

    relay.wait_for("leading", ENDED)
    pipeline.wait_for("pipeline_started", ENDED)
    for process in (relay, pipeline):
        assert process.output().count("owner_unknown") == 1
        assert "term_ended" not in process.output()


def test_what_a_leader_does_not_acknowledge_is_asked_again_and_then_passed_over(
    broker: str, monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[str]]
) -> None:
    herald, asked = a_herald(broker), []

    def read(*_: object, **__: object) -> None:
        asked.append(1)
        raise KafkaException(KafkaError(KafkaError.NOT_ENOUGH_REPLICAS))

    monkeypatch.setattr(owner, "read_claims", read)
    monkeypatch.setattr(owner, "PATIENCE", 1.5)

    claim(herald, make_admin(herald))

    assert len(asked) > 1
    assert len(told()) == 1


@pytest.mark.parametrize("code", [KafkaError.NOT_CONTROLLER, KafkaError.UNKNOWN, KafkaError.REQUEST_TIMED_OUT])
def test_a_creation_that_failed_for_a_moment_is_tried_again_within_the_term(
    code: int, broker: str, monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[str]]
) -> None:
    herald = a_herald(broker)
    admin = make_admin(herald)
    refuse_to_create(admin, monkeypatch, code)

    claim(herald, admin)

    assert find_owner(herald, admin) == herald.instance
    assert not told()


@pytest.mark.parametrize(
    "code",
    [KafkaError.INVALID_REPLICATION_FACTOR, KafkaError.POLICY_VIOLATION, KafkaError.TOPIC_AUTHORIZATION_FAILED],
)
def test_a_creation_that_no_second_try_mends_is_told_once_and_tried_again_in_the_next_term(
    code: int, broker: str, monkeypatch: pytest.MonkeyPatch, told: Callable[[], list[str]]
) -> None:
    herald = a_herald(broker)
    admin = make_admin(herald)
    left = refuse_to_create(admin, monkeypatch, code, code)

    claim(herald, admin)
    assert left == [code]
    claim(herald, admin)

    assert len(told()) == 1
    claim(herald, admin)
    assert find_owner(herald, admin) == herald.instance


def test_the_session_speaks_between_the_list_of_topics_and_the_creation(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    herald, heard = a_herald(broker), list[str]()
    admin = make_admin(herald)

    def heed(name: str) -> None:
        asked = getattr(admin, name)

        def ask(*said: Any, **more: Any) -> Any:
            heard.append(name)
            return asked(*said, **more)

        monkeypatch.setattr(admin, name, ask)

    heed("list_topics")
    heed("create_topics")

    claim(herald, admin, lambda: heard.append("session"))

    assert heard[:4] == ["list_topics", "session", "create_topics", "session"]


def test_a_claim_whose_acknowledgement_is_lost_keeps_its_place(tmp_path: Path) -> None:
    port = free_port()
    with Tansu(tmp_path, advertised=port) as tansu, Proxy(int(tansu.bootstrap_servers.split(":")[1]), port=port) as net:
        herald = a_herald(f"127.0.0.1:{port}")
        admin = make_admin(herald)
        net.sever(herald.instance.encode())

        claim(herald, admin)

        assert net.severed == 1
        assert [one.offset for one in read_claims(herald)] == [0]


def test_to_replace_an_owner_without_the_database_is_refused_in_a_sentence(start_herald: StartHerald) -> None:
    nowhere = {"DATABASE_URL": "postgresql://herald@127.0.0.1:1/herald", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}

    command = start_herald("relay", "--replace-owner", str(uuid4()), **nowhere)
    eventually(lambda: not command.running, ENDED, what="it has ended")

    assert command.exit_code == 1
    assert "the database does not answer: " in command.output()
    assert "Traceback" not in command.output()


def test_an_owner_is_not_replaced_together_with_a_rebase() -> None:
    result = CliRunner().invoke(relay_command, ["--rebase", "--moved", "--replace-owner", str(uuid4())])

    assert result.exit_code == 2
    assert "--rebase and --replace-owner are two steps" in result.output
