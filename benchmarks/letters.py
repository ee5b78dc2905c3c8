"""What is sent: notifications of about 1 kB, no two alike, for identical ones flatter the compression."""

import random
from collections.abc import Iterator

import msgspec

from herald.outbox.message.notification import TOPIC
from herald.outbox.moves.accept import accept, make_acceptance
from tests.servers.postgres import connect_to_tables

SIZE = 1000  # bytes of one notification's JSON, about
USERS = 10_000
BATCH = 500  # rows of one transaction while filling
EVENTS = ("order.shipped", "order.placed", "invoice.due", "password.reset")
RARE, SELDOM = "account.closed", 1000  # one of so many is about this
_SYLLABLES = ("ka", "ri", "no", "ta", "mel", "os", "un", "der", "vi", "ga", "lo", "sen", "ter", "ap", "qui", "ly")


def letters(count: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """User id and JSON of each; the same seed gives the same letters."""
    choose = random.Random(seed)
    words = ["".join(choose.choices(_SYLLABLES, k=choose.randint(1, 4))) for _ in range(5000)]
    text = " ".join(choose.choices(words, k=200_000))
    for number in range(count):
        user = str(choose.randrange(USERS))
        start = choose.randrange(len(text) - SIZE)
        content = f"{number} {text[start : start + SIZE - 80]}"
        event = RARE if number % SELDOM == SELDOM - 1 else EVENTS[number % len(EVENTS)]
        yield user, msgspec.json.encode({"user_id": user, "event": event, "content": content})


def fill(database: str, count: int) -> None:
    """Accept that many notifications, as the API's committer would."""
    connection = connect_to_tables(database)
    waiting = [make_acceptance(TOPIC, user, data) for user, data in letters(count)]
    for start in range(0, count, BATCH):
        accept(connection, waiting[start : start + BATCH])
        connection.commit()
    connection.autocommit = True
    connection.cursor().execute("VACUUM (ANALYZE) outbox, messages")  # else the first round pays for all
    connection.close()
