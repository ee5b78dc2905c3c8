"""A request is a span, and what it leaves behind goes on below it."""

from collections.abc import Iterator

import pytest

from herald.outbox.postgres.statements import fetch_column
from tests.api.conftest import Client
from tests.api.fakes import FakeCommitter
from tests.outbox.connections import connected
from tests.outbox.watched.tracing import PARENT, SAMPLED, UNSAMPLED, Kept, parent, place, traced
from tests.servers.eventually import eventually

GOOD = {"user_id": 1, "event": "e", "content": "confidential"}


@pytest.fixture
def kept() -> Iterator[Kept]:
    with traced() as kept:
        yield kept


def test_a_request_and_its_commit_are_below_the_caller_and_what_is_stored_is_the_requests_place(
    kept: Kept, herald: Client, database: str
) -> None:
    message = herald.post("/notifications", json=GOOD, headers={"traceparent": SAMPLED}).json()["id"]

    request, commit = kept.one("POST /notifications"), eventually(lambda: kept.all("COMMIT"))[0]
    assert parent(request) == PARENT
    assert f"-{parent(commit)}-" in place(request)
    assert (request.attributes or {})["messaging.message.id"] == message
    with connected(database) as connection:
        assert fetch_column(connection, "SELECT traceparent FROM messages") == [place(request)]
        assert fetch_column(connection, "SELECT payload ->> 'traceparent' FROM outbox") == [place(request)]
    assert "confidential" not in request.to_json() + commit.to_json()


def test_a_bulk_is_one_request_and_one_commit(kept: Kept, herald: Client) -> None:
    answer = herald.post("/notifications/bulk", json={"items": [GOOD, GOOD, GOOD]})

    assert answer.status_code == 202
    (commit,) = eventually(lambda: kept.all("COMMIT"))
    counts = [
        (span.attributes or {})["messaging.batch.message_count"]
        for span in (kept.one("POST /notifications/bulk"), commit)
    ]
    assert counts == [3, 3]


def test_what_is_sent_again_goes_on_below_the_request_that_asks_for_it(
    kept: Kept, herald: Client, database: str
) -> None:
    first = herald.post("/notifications", json=GOOD).json()["id"]
    herald.post(f"/notifications/{first}/cancel")

    herald.post(f"/notifications/{first}/again", headers={"traceparent": SAMPLED})

    with connected(database) as connection:
        (stored,) = fetch_column(connection, "SELECT traceparent FROM messages WHERE again_of IS NOT NULL")
    assert stored == place(kept.one("POST /notifications/{id}/again"))


def test_every_request_has_a_span_by_its_route_but_probes(kept: Kept, herald: Client) -> None:
    herald.get("/notifications/01a208a9-9274-758b-9a79-d93c7f6c5e94")
    herald.get("/nowhere/ada@example.com")
    herald.post("/notifications", json={})
    herald.get("/health/live")

    found = [(span.name, (span.attributes or {})["http.response.status_code"]) for span in kept.all()]

    assert found == [("GET /notifications/{id}", 404), ("GET none", 404), ("POST /notifications", 400)]
    assert "ada" not in "".join(span.to_json() for span in kept.all())


def test_a_request_that_fails_is_an_error_with_its_status(kept: Kept, client: Client, committer: FakeCommitter) -> None:
    committer.failure = RuntimeError("confidential")

    client.post("/notifications", json=GOOD)

    request = kept.one("POST /notifications")
    assert (request.status.is_ok, (request.attributes or {})["error.type"]) == (False, "500")
    assert "confidential" not in request.to_json()


@pytest.mark.parametrize(("sent", "stored"), [(UNSAMPLED, UNSAMPLED), (None, None), ("nonsense", None)])
def test_what_is_not_sampled_is_stored_as_it_came(
    client: Client, committer: FakeCommitter, sent: str | None, stored: str | None
) -> None:
    with traced(traces_sampler="parentbased_always_off") as kept:
        client.post("/notifications", json=GOOD, headers={"traceparent": sent} if sent else {})

    assert committer.accepted[0].traceparent == stored
    assert kept.all() == []
