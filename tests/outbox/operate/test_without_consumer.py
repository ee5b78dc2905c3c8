"""Messages of a topic that is not registered: who names them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from herald.outbox.moves.accept import make_acceptance
from herald.outbox.operate.status.command import command as status
from herald.pipeline.audit.command import command as audit
from tests.outbox.connections import accepted, connected
from tests.outbox.operate.doctor.findings import look


def test_messages_without_a_consumer_are_named_by_status_doctor_and_audit(
    database: str, broker: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with connected(database) as connection:
        messages = accepted(connection, *(make_acceptance("removed", "ada", b"{}") for _ in range(5)))
    servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": broker, "COLUMNS": "200"}

    shown = CliRunner().invoke(status, env=servers).output
    told = json.loads(CliRunner().invoke(status, ["--json"], env=servers).output)
    report = json.loads(CliRunner().invoke(audit, ["--json"], env=servers).output)
    (found,) = look(database, "no consumer")

    assert "removed: 5 messages wait, the oldest for" in shown
    assert [(one["topic"], one["count"]) for one in told["no_consumer"]["items"]] == [("removed", 5)]
    assert (found.level, found.text[:53]) == ("warning", "topic removed has 5 messages waiting and no consumer,")
    ((severity, says, ids),) = [
        (one["severity"], one["says"], one["ids"]) for one in report["findings"] if one["check"] == "no-consumer"
    ]
    assert (severity, says) == ("late", "topic removed has 5 messages waiting and no consumer")
    assert ids == sorted(map(str, messages))
