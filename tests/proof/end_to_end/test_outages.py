"""Topics that were deleted: what they held is delivered all the same."""

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS, TOPICS
from tests.conftest import on_apache_kafka, on_both_brokers
from tests.proof.end_to_end.system import Herald, await_all_sent, requests_per_message, show
from tests.proof.end_to_end.topic import delete_topics
from tests.servers.eventually import eventually


@on_both_brokers
def test_what_deleted_topics_held_is_delivered_all_the_same(herald: Herald, connection: Connection) -> None:
    """More was committed of the old topics than the new ones hold at first: no offset may be taken over."""
    herald.start_and_deliver()
    messages = [herald.post_notification(f"user-{number}") for number in range(60)]
    await_all_sent(herald, connection, messages)
    assert herald.stop("pipeline") == 0
    messages += [herald.post_notification(f"user-{number}") for number in range(30)]
    messages += [herald.post_message({"n": number}) for number in range(30)]
    await_published(connection, messages)
    assert herald.stop("relay") == 0

    delete_topics(herald.settings["KAFKA_BOOTSTRAP_SERVERS"], *TOPICS, DEAD_LETTERS)
    messages += [herald.post_notification(f"user-{number}") for number in range(30)]
    herald.start("relay", "pipeline")

    await_all_sent(herald, connection, messages)
    herald.assert_projection_equals_log()


# The embedded broker goes on taking records for a topic that was deleted, and gives offsets twice when it is made anew.
@on_apache_kafka
def test_topics_deleted_while_the_relay_publishes_lose_nothing(herald: Herald, connection: Connection) -> None:
    herald.start_and_deliver()
    assert herald.stop("pipeline") == 0
    messages = [herald.post_notification(f"user-{number}") for number in range(60)]
    await_published(connection, messages)

    delete_topics(herald.settings["KAFKA_BOOTSTRAP_SERVERS"], *TOPICS, DEAD_LETTERS)
    messages += [herald.post_notification(f"user-{number}") for number in range(30)]
    herald.start("pipeline")

    await_all_sent(herald, connection, messages)
    herald.assert_projection_equals_log()
    show(f"requests per message {requests_per_message(connection):.3f}")
    assert requests_per_message(connection) < 2, "what was published once is requested once more"


def await_published(connection: Connection, messages: list[str]) -> None:
    """The relay's cursor has passed them all."""
    visible = (
        "SELECT count(*) FROM messages WHERE id = ANY (%s::uuid[])"
        " AND pg_visible_in_snapshot(requested_in, (SELECT previous FROM relay_cursor))"
    )
    eventually(lambda: fetch(connection, visible, messages) == [(len(messages),)], what="all are published")
