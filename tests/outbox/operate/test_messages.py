"""`herald send`, `list`, `cancel` and `again`, as an operator types them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from herald.outbox.operate.messages import again_command, cancel_command, list_command, send_command
from herald.outbox.operate.opening import person
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch_one
from tests.outbox.connections import accepted, compared, connected, notification, status_of, types_of
from tests.outbox.operate.conftest import Run
from tests.pipeline.records import new_id


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with compared(database) as connection:
        yield connection


def sent(run: Run, *arguments: object, **more: Any) -> UUID:
    result = run(send_command, "generic_topic", "--data", *arguments, **more)
    assert result.exit_code == 0, result.output
    return UUID(result.stdout.strip())


def cancelled(run: Run, message: UUID) -> UUID:
    assert run(cancel_command, message).stdout == "1 cancelled\n"
    return message


def test_what_is_sent_is_kept_byte_for_byte_and_names_the_person(run: Run, connection: Connection) -> None:
    message = sent(run, '{"n" : 1.10}', "--key", "k", "--priority", 8, "--deliver-by", "2027-05-01T09:00:00+02:00")

    query = """
        SELECT status, m.key, priority, deliver_by::text, data::text, payload ->> 'on_behalf_of'
        FROM messages AS m JOIN outbox AS o ON o.stream_id = m.id WHERE m.id = %s
    """
    told = ("pending", "k", 8, "2027-05-01 07:00:00+00", '{"n" : 1.10}', person())
    assert fetch_one(connection, query, str(message)) == told


def test_data_comes_from_a_file_or_from_standard_input(run: Run, connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(b'{"of": "file"}')

    made = [sent(run, "@order.json"), sent(run, "-", input=b'{"of": "input"}')]

    query = "SELECT data ->> 'of' FROM outbox WHERE stream_id = %s"
    assert [fetch_one(connection, query, str(one))[0] for one in made] == ["file", "input"]


def test_one_key_sends_once(run: Run) -> None:
    assert sent(run, "{}", "--idempotency-key", "a") == sent(run, "{}", "--idempotency-key", "a")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("generic_topic", "--data", "{"), "data: not valid JSON"),
        (("generic_topic", "--data", '{"a": "\\u0000"}'), "data.a: contains NUL"),
        (("generic_topic", "--data", "[]"), "data: must be a JSON object"),
        (("generic_topic", "--data", "{}", "--key", "k" * 256), "key: 256 characters, the limits are 1 and 255"),
        (("generic_topic", "--data", "{}", "--idempotency-key", ""), "options.idempotency_key: must be 1 to 255"),
        (("generic_topic", "--data", "{}", "--deliver-by", "2020-01-01"), "options.deliver_by: has passed already"),
        (("generic_topic", "--data", "@none.json"), "none.json cannot be read: No such file or directory"),
        (("generic_topic", "--data", "{}", "--priority", "10"), "10 is not in the range 0<=x<=9"),
        (("nowhere", "--data", "{}"), "topic: no such topic: nowhere"),
        (("notifications", "--data", '{"user_id": 1, "event": "e"}'), "data.content: is required"),
    ],
)
def test_what_cannot_be_sent_is_named_with_its_limit(run: Run, arguments: tuple[str, ...], told: str) -> None:
    refused = run(send_command, *arguments)

    assert refused.exit_code == 2
    assert told in " ".join(refused.output.split())


def test_a_key_in_use_elsewhere_may_be_tried_again(run: Run, database: str) -> None:
    with connected(database) as other:
        execute(other, "SELECT send('generic_topic', '{}', NULL, '{\"idempotency_key\": \"a\"}')")

        refused = run(send_command, "generic_topic", "--data", "{}", "--idempotency-key", "a")

    assert refused.exit_code == 1
    assert refused.stderr == "options.idempotency_key: another transaction with this key is going on\n"


def test_messages_of_all_topics_are_listed_newest_first(run: Run, connection: Connection) -> None:
    (first,) = accepted(connection, notification(user="ada"))
    second = cancelled(run, sent(run, "{}", "--key", "k"))

    lines = run(list_command).stdout.splitlines()

    assert lines[0].split()[:4] == ["id", "status", "topic", "key"]
    assert [line.split()[:4] for line in lines[1:]] == [
        [str(second), "cancelled", "generic_topic", "k"],
        [str(first), "pending", "notifications", "ada"],
    ]


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ([], [3, 2, 1, 0]),
        (["--topic", "notifications"], [1, 0]),
        (["--topic", "notifications", "--key", "ada"], [0]),
        (["--key", "k"], [3, 2]),
        (["--event", "greeting"], [1, 0]),
        (["--status", "cancelled"], [3]),
        (["--status", "pending"], [2, 1, 0]),
        (["--status", "sent"], []),
        (["--limit", "1"], [3]),
        (["--before", "$2"], [1, 0]),
    ],
)
def test_the_list_is_narrowed_and_json_for_programs(
    run: Run, connection: Connection, options: list[str], places: list[int]
) -> None:
    made = [*accepted(connection, notification(user="ada"), notification(user="bob")), sent(run, "{}", "--key", "k")]
    made.append(cancelled(run, sent(run, "{}", "--key", "k")))

    found = run(list_command, "--json", *(str(made[2]) if one == "$2" else one for one in options))

    assert [one["id"] for one in json.loads(found.stdout)] == [str(made[place]) for place in places]


def test_what_is_not_cancelled_is_named_with_its_reason(run: Run, connection: Connection, database: str) -> None:
    free, held, nobody = sent(run, "{}"), sent(run, "{}"), new_id()
    with connected(database) as other:
        execute(other, "SELECT FROM messages WHERE id = %s FOR NO KEY UPDATE", str(held))

        result = run(cancel_command, free, held, nobody)

    assert (result.exit_code, result.stdout) == (1, "1 cancelled\n")
    told = [f"{held}: another transaction holds it; try again", f"{nobody}: no such message"]
    assert result.stderr.splitlines() == told
    assert [status_of(connection, one) for one in (free, held)] == ["cancelled", "pending"]


def test_what_is_over_is_sent_again_by_name_of_the_person(run: Run, connection: Connection) -> None:
    message = cancelled(run, sent(run, "{}"))

    again = UUID(run(again_command, message).stdout.strip())

    assert types_of(connection, again) == ["requested"]
    query = "SELECT again_of::text, actor FROM messages WHERE id = %s"
    assert fetch_one(connection, query, str(again)) == (str(message), person())


def test_what_is_not_over_or_nobodys_is_not_sent_again(run: Run) -> None:
    pending, nobody = sent(run, "{}"), new_id()

    refused = [run(again_command, one) for one in (pending, nobody)]

    assert [one.exit_code for one in refused] == [1, 1]
    assert refused[0].stderr == f"{pending}: it is pending: it can be sent again once it is over\n"
    assert refused[1].stderr == f"no message has the id {nobody}\n"
