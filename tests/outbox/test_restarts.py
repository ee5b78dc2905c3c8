"""When a process that ended starts again; what a supervisor makes of it is in up/test_supervisor.py."""

import pytest

from herald.outbox.restarts import LONGEST_DELAY, pause


def test_the_pause_doubles_up_to_its_limit() -> None:
    pauses = [pause(ends) for ends in range(1, 9)]

    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, LONGEST_DELAY, LONGEST_DELAY])
    assert pause(100_000) == LONGEST_DELAY
