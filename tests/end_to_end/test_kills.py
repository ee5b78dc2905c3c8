"""`kill -9` at random moments: nothing that was answered 202 is lost.

`KILLS=30 SEED=7 pytest -s tests/end_to_end/test_kills.py` kills oftener, and repeats a plan.
"""

import os
import random

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from tests.end_to_end.load import Load
from tests.end_to_end.system import ROLES, STARTED, Herald, MakeHerald, await_all_sent, requests_per_message, show
from tests.outbox.connections import fetch
from tests.servers.eventually import eventually

KILLS = int(os.environ.get("KILLS", "6"))
SHORT = {"HERALD_LEASE": "3", "HERALD_DELIVERY_TIMEOUT": "2"}  # seconds; what a killed pipeline had is free after 3
MOST = 150  # messages between two kills; about a second


def test_whatever_is_killed_all_that_was_accepted_ends_sent(make_herald: MakeHerald, connection: Connection) -> None:
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(10**6)))
    show(f"SEED={seed} KILLS={KILLS}")
    draw = random.Random(seed)  # noqa: S311 - a replayable plan
    herald = make_herald(**SHORT)
    herald.start_and_deliver()

    with Load(herald) as load:
        for victim in victims(draw):
            await_progress(herald, connection, load, draw)
            herald.kill(victim)
            herald.start(victim)
        herald.await_api()

    await_all_sent(herald, connection, load.accepted)
    stored = herald.assert_projection_equals_log()
    assert stored >= len(load.accepted) + 1
    show(
        f"accepted {len(load.accepted)}, unanswered {load.unanswered}, stored {stored}, in {load.seconds:.0f} s;"
        f" requests per message {requests_per_message(connection):.4f}"
    )


def victims(draw: random.Random) -> list[str]:
    """Each role equally often, in a drawn order."""
    found = [ROLES[number % len(ROLES)] for number in range(KILLS)]
    draw.shuffle(found)
    return found


def await_progress(herald: Herald, connection: Connection, load: Load, draw: random.Random) -> None:
    """Go on for a drawn number of messages: accepted ones, whoever is just starting, or delivered ones."""
    more = draw.randrange(1, MOST)
    if draw.random() < 0.5:
        enough = len(load.accepted) + more
        eventually(lambda: herald.revive() and len(load.accepted) >= enough, STARTED)
        return
    enough = delivered(connection) + more
    eventually(lambda: herald.revive() and delivered(connection) >= enough, STARTED)


def delivered(connection: Connection) -> int:
    ((found,),) = fetch(connection, "SELECT count(*) FROM messages WHERE status = 'sent'")
    return int(found)
