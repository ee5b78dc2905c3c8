"""Eighty messages of 1 MB; ten thousand by `python -m tests.proof.faults large`."""

import pytest

from tests.proof.faults.large import LIMIT, large_scene, send_large

pytestmark = [pytest.mark.kafka, pytest.mark.proof]


def test_no_process_takes_much_memory_for_large_messages() -> None:
    with large_scene() as scene:
        peaks = send_large(scene, messages=80)

    assert {name: peak for name, peak in peaks.items() if peak > LIMIT} == {}
