"""`/dead-letters/requeues`: jobs that try many dead letters again, at a rate."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.concurrency import sync_to_thread
from litestar.openapi.datastructures import ResponseSpec

from herald.api.http.bodies import read_ignored, read_json
from herald.api.http.idempotency import request_key_of
from herald.api.http.openapi import KEY_HEADERS, KEY_PARAMETER, documented, keyed, takes
from herald.api.http.parameters import Id, only_query, parse_id
from herald.api.http.problems import field_problem
from herald.api.http.readers import a_turn
from herald.api.http.resources import resources_of
from herald.api.http.writes import in_transaction, once
from herald.api.shapes.answers import key_headers
from herald.api.shapes.dry_runs import DryRun, dry_run
from herald.api.shapes.requests import RequeueMany
from herald.outbox.desk.jobs import Job, find_job, list_jobs, make_job, stop_job
from herald.outbox.postgres.driver import Connection

DRY = ResponseSpec(DryRun, description="What would take part; nothing was changed", generate_examples=False)
_REQUEUE_MANY = msgspec.json.Decoder(RequeueMany)


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first."""

    items: list[Job]


@post(
    "/requeues",
    summary="Try many again",
    status_code=202,
    before_request=only_query(),
    operation_class=takes(RequeueMany, KEY_PARAMETER),
    response_headers=KEY_HEADERS,
    responses={200: DRY, **documented(400, 409, 413, 415, 422, 503)},
)
async def requeue_many(request: Request[Any, Any, Any]) -> Response[Job | DryRun]:
    """Make a job that requeues what fits, at a rate; without `"dry_run": false` only say what would take part."""
    settings = resources_of(request).settings
    asked, body = await read_json(request, _REQUEUE_MANY, max_bytes=settings.max_body)
    if asked.dry_run:
        await request_key_of(request, body)  # nothing is remembered of a dry run, but a wrong key is wrong here too
        async with a_turn(request):
            found = await in_transaction(request, lambda connection: dry_run(connection, asked.filter))
        return Response(found, status_code=200)
    rate = asked.rate or settings.requeue_rate
    receipt = await once(request, body, lambda connection: [make_job(connection, asked.filter, rate=rate).id])
    job = await sync_to_thread(_found, request, receipt.ids[0])
    return Response(job, status_code=202, headers=key_headers(receipt))


@get("/requeues", summary="List jobs", sync_to_thread=True, before_request=only_query(), responses=documented(400, 503))
def jobs(request: Request[Any, Any, Any]) -> Jobs:
    """List the jobs that requeue many, the newest first; 100 at most."""
    with resources_of(request).transaction() as connection:
        return Jobs(items=list_jobs(connection, limit=100))


@get(
    "/requeues/{id:str}",
    summary="Look at a job",
    sync_to_thread=True,
    before_request=only_query(),
    responses=documented(400, 404, 503),
)
def job(request: Request[Any, Any, Any], id: Id) -> Job:  # noqa: A002
    """Show how far a job is."""
    return _found(request, parse_id(id))


@post(
    "/requeues/{id:str}/stop",
    summary="Stop a job",
    status_code=200,
    before_request=only_query(),
    operation_class=keyed(),
    response_headers=KEY_HEADERS,
    responses=documented(400, 404, 409, 413, 422, 503),
)
async def stop(request: Request[Any, Any, Any], id: Id) -> Response[Job]:  # noqa: A002
    """Stop a job where it stands; one that has ended stays as it is, and can be looked at as before."""
    job_id = parse_id(id)
    await read_ignored(request, max_bytes=resources_of(request).settings.max_body)

    def work(connection: Connection) -> list[UUID]:
        return [_there(stop_job(connection, job_id), job_id).id]

    receipt = await once(request, b"", work)
    job = await sync_to_thread(_found, request, job_id)
    return Response(job, status_code=200, headers=key_headers(receipt))


def _found(request: Request[Any, Any, Any], job_id: UUID) -> Job:
    with resources_of(request).transaction() as connection:
        return _there(find_job(connection, job_id), job_id)


def _there(job: Job | None, job_id: UUID) -> Job:
    if job is None:
        raise field_problem("id", f"no job {job_id}", HTTPStatus.NOT_FOUND)
    return job
