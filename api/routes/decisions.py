"""What a person decides about dead letters: requeue one, as it is or edited, or discard one or many."""

from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, post

from herald.api.http.bodies import read_json
from herald.api.http.idempotency import request_key_of
from herald.api.http.openapi import KEY_HEADERS, KEY_PARAMETER, documented, takes
from herald.api.http.parameters import Id, only_query, parse_id
from herald.api.http.problems import ProblemError, field_problem
from herald.api.http.readers import a_turn
from herald.api.http.resources import resources_of
from herald.api.http.writes import Work, in_transaction, once, read_optional
from herald.api.routes.commands import check_edit
from herald.api.shapes.answers import key_headers
from herald.api.shapes.dry_runs import DryRun, dry_run
from herald.api.shapes.requests import Discard, DiscardMany, Requeue
from herald.outbox.desk.looking import choose, count_dead_letters, find_dead_letter
from herald.outbox.moves.decide import MOST_AT_ONCE, Edit, discard, requeue
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import find_one

_REQUEUE = msgspec.json.Decoder(Requeue)
_DISCARD = msgspec.json.Decoder(Discard)
_DISCARD_MANY = msgspec.json.Decoder(DiscardMany)


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    id: UUID
    status: Literal["pending", "discarded"]


class Discarded(msgspec.Struct, frozen=True, kw_only=True):
    """How many were discarded; `left` still fit: at most 10,000 go at once."""

    discarded: int
    left: int


@post(
    "/{id:str}/requeue",
    summary="Try one again",
    status_code=202,
    before_request=only_query(),
    operation_class=takes(Requeue, KEY_PARAMETER, is_optional=True),
    response_headers=KEY_HEADERS,
    responses=documented(400, 404, 409, 413, 415, 422, 503),
)
async def requeue_one(request: Request[Any, Any, Any], id: Id) -> Response[Decided]:  # noqa: A002
    """Try a dead letter again, as it is or with new `data`; its attempts are counted anew."""
    message_id = parse_id(id)
    asked, body = await read_optional(request, _REQUEUE, Requeue())

    def work(connection: Connection) -> list[UUID]:
        edit = None if not bytes(asked.data) else _edit(request, connection, message_id, asked.data)
        return requeue(connection, [message_id], edit=edit) or _refuse(connection, message_id)

    return await _decided(request, body, work, Decided(id=message_id, status="pending"), status_code=202)


@post(
    "/{id:str}/discard",
    summary="Give one up",
    status_code=200,
    before_request=only_query(),
    operation_class=takes(Discard, KEY_PARAMETER),
    response_headers=KEY_HEADERS,
    responses=documented(400, 404, 409, 413, 415, 422, 503),
)
async def discard_one(request: Request[Any, Any, Any], id: Id) -> Response[Decided]:  # noqa: A002
    """Give a dead letter up for good, with a reason."""
    message_id = parse_id(id)
    asked, body = await read_json(request, _DISCARD, max_bytes=resources_of(request).settings.max_body)

    def work(connection: Connection) -> list[UUID]:
        return discard(connection, [message_id], reason=asked.reason) or _refuse(connection, message_id)

    return await _decided(request, body, work, Decided(id=message_id, status="discarded"), status_code=200)


@post(
    "/discards",
    summary="Give many up",
    status_code=200,
    before_request=only_query(),
    operation_class=takes(DiscardMany, KEY_PARAMETER),
    response_headers=KEY_HEADERS,
    responses=documented(400, 409, 413, 415, 422, 503),
)
async def discard_many(request: Request[Any, Any, Any]) -> Response[Discarded | DryRun]:
    """Discard what fits, 10,000 at most; without `"dry_run": false` only say what would take part."""
    asked, body = await read_json(request, _DISCARD_MANY, max_bytes=resources_of(request).settings.max_body)
    if asked.dry_run:
        await request_key_of(request, body)  # nothing is remembered of a dry run, but a wrong key is wrong here too
        async with a_turn(request):
            found = await in_transaction(request, lambda connection: dry_run(connection, asked.filter))
        return Response(found, status_code=200)

    def work(connection: Connection) -> list[UUID]:
        return discard(connection, choose(connection, asked.filter, limit=MOST_AT_ONCE), reason=asked.reason)

    receipt = await once(request, body, work)
    left = await in_transaction(request, lambda connection: count_dead_letters(connection, asked.filter))
    gone = Discarded(discarded=len(receipt.ids), left=left)
    return Response(gone, status_code=200, headers=key_headers(receipt))


async def _decided(
    request: Request[Any, Any, Any], body: bytes, work: Work, answer: Decided, *, status_code: int
) -> Response[Decided]:
    receipt = await once(request, body, work)
    return Response(answer, status_code=status_code, headers=key_headers(receipt))


def _edit(request: Request[Any, Any, Any], connection: Connection, message_id: UUID, data: msgspec.Raw) -> Edit:
    found = find_dead_letter(connection, message_id)
    if found is None:
        raise not_there(connection, message_id)
    return check_edit(found.topic, found.key, bytes(data), resources_of(request).settings)


def _refuse(connection: Connection, message_id: UUID) -> list[UUID]:
    raise not_there(connection, message_id)


def not_there(connection: Connection, message_id: UUID) -> ProblemError:
    """404 for what nobody knows, 409 for what is not on the desk."""
    row = find_one(connection, "SELECT status FROM messages WHERE id = %s", str(message_id))
    if row is None:
        return field_problem("id", f"no message {message_id}", HTTPStatus.NOT_FOUND)
    return field_problem("id", f"it is {row[0]}, not on the desk", HTTPStatus.CONFLICT)
