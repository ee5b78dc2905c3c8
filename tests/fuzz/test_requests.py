"""A short siege; the long one is `python -m tests.faults requests`."""

from pathlib import Path

from tests.fuzz.requests import forge
from tests.fuzz.siege import attackers_of, besiege


def test_no_forged_request_meets_an_error_of_heralds_own_nor_harms_a_good_client(
    database: str, tmp_path: Path, seed: int
) -> None:
    besiege(database, tmp_path, requests=1_200, seed=seed, alone=0.5).assert_clean()


def test_a_seed_makes_the_same_requests_again() -> None:
    once, again = ([forge(draw) for draw in attackers_of(7) for _ in range(20)] for _ in range(2))

    assert once == again
