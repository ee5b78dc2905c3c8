"""Calls of Herald's functions in SQL. Arguments go as text, and answers come as text: drivers agree on it."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Required, TypedDict, TypeVar, Unpack
from uuid import UUID

from herald_client.requests import Dates, RequestOptions, Target, encode

T = TypeVar("T")
PERCENTS, DOLLARS = "%s", "${}"  # how drivers want their parameters


class Own(RequestOptions, total=False):
    """`group` is of messages that belong together; `actor` is who it is done for, if not the session's role."""

    group: str
    actor: str


class OutboxOptions(Dates, Own, total=False):
    """Of messages. On the topic `notifications` dates and priority stand in `data`."""


class OutboxNotifyOptions(Target, Own, total=False):
    """Of notifications."""


class OutboxMessage(TypedDict, total=False):
    """One of many, as `send` takes them."""

    topic: Required[str]
    data: Required[Mapping[str, Any]]
    key: str | None
    options: OutboxOptions


@dataclass(frozen=True, slots=True)
class Statement(Generic[T]):
    """`{schema}` and a `{}` for each argument are put into `text`; `read` takes the answer."""

    text: str
    arguments: tuple[str | None, ...]
    read: Callable[[str], T]

    def sql(self, schema: str, style: str) -> str:
        """For a driver with this style of parameters."""
        quoted = '"' + schema.replace('"', '""') + '"'
        slots = [style.format(number) for number in range(1, len(self.arguments) + 1)]
        return self.text.format(*slots, schema=quoted.replace("%", "%%") if style == PERCENTS else quoted)


def send(
    topic: str, data: Mapping[str, Any], key: str | None = None, **options: Unpack[OutboxOptions]
) -> Statement[UUID]:
    """Send a message on a registered topic; `data` becomes a JSON object. Returns its id.

    Raises ProblemError, or what the driver raises.
    """
    text = "SELECT {schema}.send({}::text, {}::text::json, {}::text, {}::text::jsonb)::text"
    return Statement(text, (topic, _json(data), key, _json(options)), UUID)


def notify(
    user_ids: Sequence[str | int], event: str, content: str, **options: Unpack[OutboxNotifyOptions]
) -> Statement[UUID]:
    """Send a notification to each of up to 1,000 users. Returns its id, or that of the group where there are several.

    Raises ProblemError, or what the driver raises.
    """
    users = "ARRAY(SELECT json_array_elements_text({}::text::json))"
    text = "SELECT {schema}.notify(" + users + ", {}::text, {}::text, {}::text::jsonb)::text"
    return Statement(text, (_json(list(user_ids)), event, content, _json(options)), UUID)


def send_many(messages: Iterable[OutboxMessage]) -> Statement[list[UUID]]:
    """Send up to 1,000 messages, all or none. Returns their ids, in order.

    Raises ProblemError, or what the driver raises.
    """
    text = (
        "SELECT json_agg(id ORDER BY place)::text"
        " FROM {schema}.send_many({}::text::json) WITH ORDINALITY AS sent (id, place)"
    )
    return Statement(text, (_json(list(messages)),), lambda answer: [UUID(one) for one in json.loads(answer)])


def cancel(message_id: UUID | str) -> Statement[bool]:
    """Take back what was not tried yet, of a message or a group. Returns whether nothing of it will be delivered.

    Raises ProblemError, or what the driver raises.
    """
    return Statement(
        "SELECT {schema}.cancel({}::text::uuid)::text", (str(message_id),), lambda answer: answer == "true"
    )


def _json(value: object) -> str:
    return encode(value).decode()
