"""The audit of a system that is at work: what is under way must not look wrong."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from herald.outbox.postgres.driver import Connection
from tests.proof.end_to_end.destinations import WEBHOOKS
from tests.proof.end_to_end.system import Herald, MakeHerald, await_all_sent, show
from tests.proof.end_to_end.topic import put
from tests.proof.faults.ledger import Load
from tests.proof.faults.provider import Provider
from tests.servers.herald import herald_environment

TIMES = 10
RATE = 50.0  # requests per second
PATIENCE = 120.0  # seconds for one audit on a busy machine
FOREIGN = {"user_id": "ada", "event": "greeting", "content": "from elsewhere"}


@pytest.mark.proof
def test_ten_audits_of_a_system_under_load_find_nothing(
    make_herald: MakeHerald, connection: Connection, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    herald = make_herald(**WEBHOOKS)
    herald.start_and_deliver()
    ports = [int(herald.settings["HERALD_PORT"])]
    with Provider() as provider, Load(ports, provider.address, rate=RATE) as load:
        for _ in range(TIMES):
            disturb(herald)
            ledger.write_text("\n".join(accepted(load)))

            report = audit(herald, "--grace", "0", "--ledger", str(ledger))

            assert [one for one in report["findings"] if one["severity"] != "note"] == []
            checks = {check["check"]: check["looked_at"] for check in report["checks"]}
            show(f"{report['seconds']} s for {checks['projection']}, {checks['not-in-log']}")
        load.stop()
        await_all_sent(herald, connection, accepted(load))
    assert accepted(load)


def accepted(load: Load) -> list[str]:
    """The ids that were answered 202."""
    return [str(entry.id) for entry in load.ledger.of("accepted")]


def disturb(herald: Herald) -> None:
    """What is no plain delivery: another producer's record, one that is nothing, a date to be kept."""
    broker = herald.settings["KAFKA_BOOTSTRAP_SERVERS"]
    put(broker, "notifications", json.dumps(FOREIGN).encode())
    put(broker, "notifications", b"no JSON")
    herald.post_notification("soon", deliver_at=(datetime.now(UTC) + timedelta(seconds=1)).isoformat())


def audit(herald: Herald, *arguments: str) -> dict[str, Any]:
    """In a process of its own, as an operator's monitoring runs it; raises AssertionError unless it exits with 0."""
    command = [sys.executable, "-m", "herald.outbox.cli", "audit", "--json", *arguments]
    environment = herald_environment(herald.settings)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report
