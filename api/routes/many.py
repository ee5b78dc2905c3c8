"""`/dead-letters/requeues` and `/dead-letters/discards`: what a person decides about many.

Many are tried again by a job, at a rate. Unless told otherwise a decision is a dry run: it says what would take part.
"""

from typing import Literal
from uuid import UUID

import msgspec
from litestar import Response

from herald.api.http.bodies import read_ignored, read_json
from herald.api.http.gate import actor_of, key_for
from herald.api.http.headers import request_key_of
from herald.api.http.operations import command, query
from herald.api.http.parameters import id_of, there
from herald.api.http.problems import HttpRequest
from herald.api.http.resources import a_turn, in_transaction, once, resources_of
from herald.api.shapes.answers import key_headers
from herald.api.shapes.requests import DiscardMany, RequeueMany
from herald.outbox.desk.filters import Filter
from herald.outbox.desk.jobs import Job, find_job, list_jobs, make_job, stop_job
from herald.outbox.desk.looking import Group, choose, count_dead_letters, list_groups
from herald.outbox.moves.decide import MOST_AT_ONCE, discard
from herald.outbox.postgres.driver import Connection


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What would take part, and nothing was changed."""

    matching: int
    groups: list[Group]
    dry_run: Literal[True] = True


class Discarded(msgspec.Struct, frozen=True, kw_only=True):
    """How many were discarded; `left` still fit: at most 10,000 go at once."""

    discarded: int
    left: int


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first."""

    items: list[Job]


@command("/requeues", "Try many again", status=202, body=RequeueMany, dry=DryRun)
async def requeue_dead_letters(request: HttpRequest) -> Response[Job | DryRun]:
    """Make a job that requeues what fits, at a rate; without `"dry_run": false` only say what would take part."""
    asked, body = await read_json(request, RequeueMany)
    if asked.dry_run:
        return Response(await _dry_run(request, body, asked.filter), status_code=200)
    rate, actor = asked.rate or resources_of(request).settings.requeue_rate, actor_of(request)
    receipt = await once(
        request, body, lambda connection: [make_job(connection, asked.filter, rate=rate, actor=actor).id]
    )
    return Response(await _find(request, receipt.ids[0]), headers=key_headers(receipt))


@query("/requeues", "List jobs")
async def get_requeues(request: HttpRequest) -> Jobs:
    """List the jobs that requeue many, the newest first; 100 at most."""
    key_for(request, None)
    return Jobs(items=await in_transaction(request, list_jobs, limit=100))


@query("/requeues/{id:str}", "Look at a job")
async def get_requeue(request: HttpRequest) -> Job:
    """Show how far a job is."""
    key_for(request, None)
    return await _find(request, id_of(request))


@command("/requeues/{id:str}/stop", "Stop a job")
async def stop_requeue(request: HttpRequest) -> Response[Job]:
    """Stop a job where it stands; one that has ended stays as it is, and can be looked at as before."""
    job_id = id_of(request)
    await read_ignored(request)

    def work(connection: Connection) -> list[UUID]:
        return [there(stop_job(connection, job_id), "job", job_id).id]

    receipt = await once(request, b"", work)
    return Response(await _find(request, job_id), headers=key_headers(receipt))


@command("/discards", "Give many up", body=DiscardMany)
async def discard_dead_letters(request: HttpRequest) -> Response[Discarded | DryRun]:
    """Discard what fits, 10,000 at most; without `"dry_run": false` only say what would take part."""
    asked, body = await read_json(request, DiscardMany)
    if asked.dry_run:
        return Response(await _dry_run(request, body, asked.filter))
    actor = actor_of(request)

    def work(connection: Connection) -> list[UUID]:
        chosen = choose(connection, asked.filter, limit=MOST_AT_ONCE)
        return discard(connection, chosen, reason=asked.reason, actor=actor)

    receipt = await once(request, body, work)
    left = await in_transaction(request, count_dead_letters, asked.filter)
    return Response(Discarded(discarded=len(receipt.ids), left=left), headers=key_headers(receipt))


async def _dry_run(request: HttpRequest, body: bytes, chosen: Filter) -> DryRun:
    await request_key_of(request, body)  # nothing is remembered of a dry run, but a wrong key is wrong here too
    async with a_turn(request):
        return await in_transaction(request, _count, chosen)


def _count(connection: Connection, chosen: Filter) -> DryRun:
    return DryRun(matching=count_dead_letters(connection, chosen), groups=list_groups(connection, chosen))


async def _find(request: HttpRequest, job_id: UUID) -> Job:
    return there(await in_transaction(request, find_job, job_id), "job", job_id)
