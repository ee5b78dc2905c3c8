"""`/dead-letters/requeues`: jobs that try many dead letters again, at a rate."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, delete, get, post

from api.answers import key_headers
from api.bodies import read_json
from api.documents import KEY_HEADERS, documented, takes
from api.dry_runs import DryRun, dry_run
from api.parameters import Id, only_query, parse_id
from api.problems import ProblemError, field_problem
from api.requests import RequeueMany
from api.resources import resources_of
from api.writes import in_transaction, once
from outbox.desk.jobs import Job, find_job, list_jobs, make_job, stop_job

_REQUEUE_MANY = msgspec.json.Decoder(RequeueMany)


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first."""

    items: list[Job]


@post(
    "/requeues",
    summary="Try many again",
    status_code=202,
    before_request=only_query(),
    operation_class=takes(RequeueMany),
    response_headers=KEY_HEADERS,
    responses=documented(400, 409, 413, 415, 422, 503),
)
async def requeue_many(request: Request[Any, Any, Any]) -> Response[Job | DryRun]:
    """Make a job that requeues what fits, at a rate; without `"dry_run": false` only say what would take part."""
    settings = resources_of(request).settings
    asked, body = await read_json(request, _REQUEUE_MANY, max_bytes=settings.max_body)
    if asked.dry_run:
        found = await in_transaction(request, lambda connection: dry_run(connection, asked.filter))
        return Response(found, status_code=200)
    rate = asked.rate or settings.requeue_rate
    receipt = await once(request, body, lambda connection: [make_job(connection, asked.filter, rate=rate).id])
    job = await in_transaction(request, lambda connection: find_job(connection, receipt.ids[0]))
    if job is None:
        raise _no_job(receipt.ids[0])
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
    job_id = parse_id(id)
    with resources_of(request).transaction() as connection:
        found = find_job(connection, job_id)
    if found is None:
        raise _no_job(job_id)
    return found


@delete(
    "/requeues/{id:str}",
    summary="Stop a job",
    status_code=200,
    sync_to_thread=True,
    before_request=only_query(),
    responses=documented(400, 404, 503),
)
def stop(request: Request[Any, Any, Any], id: Id) -> Job:  # noqa: A002
    """Stop a job where it stands."""
    job_id = parse_id(id)
    with resources_of(request).transaction() as connection:
        found = stop_job(connection, job_id)
    if found is None:
        raise _no_job(job_id)
    return found


def _no_job(job_id: UUID) -> ProblemError:
    return field_problem("id", f"no job {job_id}", HTTPStatus.NOT_FOUND)
