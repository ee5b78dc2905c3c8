"""The whole design, simulated: clients, committers, relays, schedulers and pipelines over servers that fail.

docs/proof.md says what is modelled. SEEDS sets how many runs; SEED_BASE the first, "random" draws one.
"""

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing

import pytest

from herald.outbox.relay import reader
from herald.outbox.relay.cursor import Cursor
from herald.outbox.scheduler import behind
from herald.pipeline.consume import decoding
from herald.pipeline.consume.identity import adoption_id
from herald.pipeline.deliver.lanes import Lanes
from tests.proof.model.run import run
from tests.proof.model.seeds import make_processes, violations
from tests.proof.model.world import MECHANISMS

SEEDS = int(os.environ.get("SEEDS", "1000"))
BUDGET = 3_000  # seeds within which a mechanism that is taken out is missed


def _seeds() -> range:
    base = os.environ.get("SEED_BASE", "0")
    first = secrets.randbelow(2**40) if base == "random" else int(base)
    return range(first, first + SEEDS)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with make_processes() as processes:
        yield processes


def test_whatever_fails_nothing_that_was_promised_is_broken(processes: ProcessPoolExecutor) -> None:
    seeds = _seeds()
    print(f"seeds {seeds.start} to {seeds.stop - 1}")  # noqa: T201 - pytest shows it on failure, and with -rP

    for seed, violation in violations(processes, seeds):
        pytest.fail(f"seed {seed}: {violation}\nreplay it: python -m tests.proof.model --seed {seed}")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_without_a_mechanism_a_promise_is_broken(processes: ProcessPoolExecutor, mechanism: str) -> None:
    with closing(violations(processes, range(BUDGET), without=mechanism)) as broken:
        found = next(broken, None)

    assert found is not None, f"{BUDGET} seeds miss nothing without: {mechanism}"
    print(f"without {mechanism}: seed {found[0]}: {found[1]}")  # noqa: T201 - with -rP


def test_the_same_seed_is_the_same_run() -> None:
    stories = [run(7, is_told=True)[1].trace for _ in range(2)]

    assert stories[0] == stories[1]
    assert stories[0]


def _passes_too_much(self: Cursor, *, target: str, last_position: int, is_last: bool) -> Cursor:
    return _after_page(self, target=target, last_position=last_position + 1 if last_position else 0, is_last=is_last)


_after_page = Cursor.after_page


def _skipping_page(cursor: Cursor, rows: list[reader.Row], target: str, size: int) -> reader.Page:
    page = _make_page(cursor, rows, target, size)
    return reader.Page(page.rows, page.cursor.after_page(target=target, last_position=0, is_last=True))


_make_page = reader.make_page


def _passes_no_lost_tail(page: behind.Page, topic: str, standing: behind.Standing) -> list[str]:
    read = standing.read.get(topic, {})
    return [number for number, end in page.end_offsets.get(topic, {}).items() if number in read and read[number] >= end]


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        pytest.param(Cursor, "after_page", _passes_too_much, id="a cursor that passes one position too many"),
        pytest.param(reader, "make_page", _skipping_page, id="a full page that counts as the last"),
        pytest.param(
            behind,
            "passed_in",
            lambda page, topic, _standing: list(page.end_offsets.get(topic, {})),
            id="everything is behind the consumer",
        ),
        pytest.param(behind, "passed_in", _passes_no_lost_tail, id="a lost tail counts as unread"),
        pytest.param(behind, "partition_of", lambda _key, _partitions: 0, id="every key in the first partition"),
        pytest.param(
            decoding,
            "adoption_id",
            lambda identity, *, timestamp: adoption_id(identity[1:], timestamp=timestamp),
            id="an identity without its first part",
        ),
        pytest.param(Lanes, "enter", lambda _self, _attempt: False, id="a lane that lets nobody in"),
    ],
)
def test_a_real_decision_that_is_wrong_is_found(
    owner: object, name: str, broken: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, broken)

    assert any(run(seed)[0] for seed in range(BUDGET))
