"""A broker that is fenced while its connections break.

`.venv/bin/python -m tests.proof.faults fenced` plays 50 seeds.
"""

import pytest

from tests.proof.end_to_end.system import show
from tests.proof.faults.fenced import SHORTEST, play
from tests.servers.postgres import PostgresServer

PATIENCE = 5.0  # seconds; the default would take half a minute


@pytest.mark.usefixtures("migrated_template")
def test_publishing_goes_on_after_a_broker_was_fenced(server: PostgresServer) -> None:
    course = play(0, SHORTEST, server, patience=PATIENCE)

    show(str(course))
    assert course.published_after is not None
    assert course.sent_after is not None
    assert course.lost == 0
