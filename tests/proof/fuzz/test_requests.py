"""A short siege; the long one is `python -m tests.proof.faults requests`."""

from pathlib import Path
from uuid import UUID

import pytest

from tests.api.conftest import make_client
from tests.proof.fuzz.requests import forge
from tests.proof.fuzz.siege import attackers_of, besiege
from tests.proof.fuzz.sketches import models_of


@pytest.mark.proof
def test_no_forged_request_meets_an_error_of_heralds_own_nor_harms_a_good_client(
    database: str, tmp_path: Path, seed: int
) -> None:
    besiege(database, tmp_path, requests=2_000, seed=seed, alone=0.5).assert_clean()


def test_a_seed_makes_the_same_requests_again(database: str) -> None:
    with make_client(database) as client:
        models = models_of(client.get("/docs/openapi.json").json())
    ids = [str(UUID(int=number)) for number in range(3)]

    once, again = ([forge(draw, models, ids) for draw in attackers_of(7) for _ in range(50)] for _ in range(2))

    assert once == again
    assert len({one.kind for one in once}) > 5
