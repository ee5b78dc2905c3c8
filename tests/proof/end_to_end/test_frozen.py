"""A pipeline frozen inside a call for longer than its lease, and thawed: one message, the late outcome marked late."""

from pathlib import Path

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.proof.end_to_end.system import STARTED, Herald, statuses
from tests.servers.child import Child
from tests.servers.eventually import eventually

HISTORY = ["requested", "started", "unknown", "requested", "started", "sent", "late"]


def test_a_pipeline_that_thaws_after_its_lease_changes_nothing(
    herald: Herald, gated_pipeline: Child, in_mid_call: str, gate: Path, connection: Connection
) -> None:
    gated_pipeline.pause()
    herald.start("pipeline")
    eventually(lambda: herald.revive() and statuses(connection) == {"sent": 1}, 2 * STARTED)
    gate.touch()
    gated_pipeline.resume()

    types = "SELECT type, payload ->> 'attempt', payload ->> 'outcome' FROM outbox ORDER BY version"
    eventually(lambda: len(fetch(connection, types)) == len(HISTORY), STARTED, what="the late outcome is recorded")
    events = fetch(connection, types)
    assert [kind.removeprefix("message.") for kind, _, _ in events] == HISTORY
    assert events[-2:] == [("message.sent", "2", None), ("message.late", "1", "sent")]
    assert herald.look(in_mid_call)["attempts"] == 2
    herald.assert_projection_equals_log()
