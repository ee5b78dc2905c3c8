"""Records of every kind beside good traffic: each is accounted for. Fifty thousand of them in `make proof-all`."""

from dataclasses import replace

import pytest

from tests.proof.faults.court import Court
from tests.proof.fuzz.accounting import Found, fingerprint, settle
from tests.proof.fuzz.flood import flood
from tests.proof.fuzz.records import Forged, Header

KNOWN = "01a223c6-66e8-7679-8a3d-b6e3764d26d7"
GOOD = Forged(1, "good", "generic_topic", b'{"number": 1}')
CLAIMING = Forged(2, "copy", "generic_topic", b'{"number": 2}', headers=[("ce_id", f"{KNOWN}.1".encode())])
RECORDS = 500


@pytest.mark.kafka
@pytest.mark.proof
def test_every_record_that_anybody_writes_is_accounted_for_and_stops_nothing(court: Court, seed: int) -> None:
    found = flood(court, records=RECORDS, seed=seed)

    assert len(found.forged) > RECORDS / 2
    found.assert_clean()


def found(*adopted: tuple[str, str], buried: str | None = None) -> Found:
    letters = {} if buried is None else {("generic_topic", 0, 0): buried}
    return Found(letters, list(adopted), frozenset({KNOWN}), "/herald")


@pytest.mark.parametrize(
    ("record", "comes_to", "wrong"),
    [
        (GOOD, found(("generic_topic", '{"number":1.0}')), ""),
        (GOOD, found(buried="no topic"), ""),
        (GOOD, found(), "neither adopted nor buried"),
        (GOOD, found(buried=""), "buried without a reason"),
        (GOOD, found(("generic_topic", '{"number":1}'), buried="no topic"), "adopted and not written"),
        (GOOD, found(*2 * [("generic_topic", '{"number":1}')]), "adopted and not written"),
        (CLAIMING, found(), ""),
        (CLAIMING, found(("generic_topic", '{"number":2}')), "adopted, though it names a message that is known"),
    ],
)
def test_what_a_record_must_not_come_to_is_found(record: Forged, comes_to: Found, wrong: str) -> None:
    account = settle({("generic_topic", 0, 0): record}, comes_to)

    assert [text.partition(":")[0].partition(",")[0] for text in account.wrong] == (
        [wrong.partition(",")[0]] if wrong else []
    )


@pytest.mark.parametrize(
    ("adopted", "wrong"),
    [((2,), []), ((1,), []), ((), ["none of its identity adopted"])],
    ids=["later", "first", "none"],
)
def test_of_several_with_one_identity_any_may_be_the_one(adopted: tuple[int, ...], wrong: list[str]) -> None:
    headers: list[Header] = [("ce_id", b"1"), ("ce_source", b"somebody")]
    forged = {("generic_topic", 0, number): replace(GOOD, value=b"%d" % number, headers=headers) for number in (1, 2)}

    account = settle(forged, found(*(("generic_topic", str(number)) for number in adopted)))

    assert [text.partition(":")[0] for text in account.wrong] == wrong


def test_two_spellings_of_one_value_are_one() -> None:
    assert fingerprint("generic_topic", b'{"b": 1e2, "a": -0.0}') == fingerprint("generic_topic", '{"a":0,"b":100}')
