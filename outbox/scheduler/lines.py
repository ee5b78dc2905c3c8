"""Who waits in line has its turn: round robin over the lines, a share of each, and no more than goes on.

What was requested is asked after: while half a portion is not claimed, and in a line while its share is not over,
nothing more is requested. So each message is requested once, and what comes from elsewhere meanwhile waits in Kafka
behind one portion at most. How large that is follows from how fast it is claimed.

What the relay's stored cursor has not passed has no turn yet: of its key, something before it may be on its way.
"""

from collections import Counter
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import NamedTuple

from herald.outbox.moves.request_again import Choice, request_again
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import fetch, fetch_column
from herald.outbox.scheduler.due import NOT_FAILING, WAITS
from herald.outbox.settings import Settings

LEAST, MOST = 50, 1_000  # messages requested and not claimed, of all lines together: a portion
PORTION = 200  # at first
CLAIMED = 0.3  # seconds within which a portion has to be claimed, or the next is half of it; twice, if it was at once
SHARE = 100  # messages of one line at once; more while no more than so many of it are not over
FEW = 5  # messages of one line that nobody has to wait for
STUCK = 5.0  # seconds without a claim after which nobody waits for it; a topic with PORTION of them is passed over

# The next lines behind that one, found one by one: an index has no list of its different values. Behind `/` comes `0`:
# all lines of the keys of a topic end there.
_LINES = prepare(
    "lines",
    """
WITH RECURSIVE visited AS (
    (SELECT line, 1 AS place FROM waiting WHERE line > %(after)s ORDER BY line LIMIT 1)
    UNION ALL
    SELECT next.line, place + 1 FROM visited CROSS JOIN LATERAL (
        SELECT w.line FROM waiting AS w
        WHERE w.line > CASE WHEN split_part(visited.line, '/', 1) = ANY (%(passed)s)
            THEN split_part(visited.line, '/', 1) || '0' ELSE visited.line END
        ORDER BY w.line LIMIT 1
    ) AS next WHERE place < %(limit)s
)
SELECT line FROM visited ORDER BY place
""",
    after="text",
    limit="bigint",
    passed="text[]",
)
_PAUSED = "SELECT substr(scope, 7) FROM pauses WHERE scope LIKE 'topic:%%'"
_TURNS = f"""
SELECT due.id::text, m.version, asked.line
FROM unnest(%(lines)s::text[]) WITH ORDINALITY AS asked(line, place) CROSS JOIN LATERAL (
    SELECT w.id FROM (
        SELECT * FROM waiting WHERE line = asked.line ORDER BY accepted_at, id LIMIT %(share)s
    ) AS w WHERE {WAITS} AND {NOT_FAILING}
) AS due JOIN messages AS m ON m.id = due.id AND has_date(m.status)
JOIN relay_cursor AS c ON c.name = 'relay' AND NOT EXISTS (
    SELECT FROM outbox AS o WHERE o.stream_id = m.id AND o.topic IS NOT NULL
      AND o.position > c.floor AND NOT pg_visible_in_snapshot(o.transaction_id, c.previous))
ORDER BY asked.place LIMIT %(limit)s
"""
_CHOSEN = "SELECT id, version FROM unnest(%(ids)s::uuid[], %(versions)s::integer[]) AS c(id, version) LIMIT %(limit)s"
# What stands in another line, or in this one again, is waited for there.
_STANDING = """
SELECT id::text, status FROM messages
WHERE id = ANY (%(ids)s::uuid[]) AND (status IN ('pending', 'sending')
    OR status = 'scheduled' AND line_of(status, reason_code, topic, key, destination, priority) IS NULL)
"""


class Turn(NamedTuple):
    """A message whose turn it is."""

    id: str
    version: int
    line: str


class Share(NamedTuple):
    """What was requested of a line at once; it is over with the last of it. `at`: by the clock."""

    line: str
    messages: int
    at: float


class Lines:
    """Used by one thread; one that begins anew requests a portion too many."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._after = ""
        self._shares: dict[str, Share] = {}  # by the last message of each
        self._unclaimed = 0
        self._stuck: Counter[str] = Counter()  # by topic
        self._portion, self._requested_at = PORTION, inf

    def request_next(self, connection: Connection, settings: Settings) -> int:
        """Request what may go on now; returns how many. `connection` in autocommit."""
        self._look(connection)
        self._adapt()
        room = self._portion - self._unclaimed
        if room < self._portion // 2:
            return 0
        turns = self._turns(connection, settings, room)
        if not turns:
            return 0
        values = {"ids": [one.id for one in turns], "versions": [one.version for one in turns]}
        requested = request_again(connection, Choice(_CHOSEN, values, "'postponed'"), limit=len(turns))
        moved = {message for message, _ in requested}
        last = {one.line: one.id for one in turns if one.id in moved}
        counts = Counter(one.line for one in turns if one.id in moved)
        self._requested_at = self._clock()
        self._shares |= {last[line]: Share(line, count, self._requested_at) for line, count in counts.items()}
        return len(requested)

    def _adapt(self) -> None:
        passed = self._clock() - self._requested_at
        if passed >= 0 and not self._unclaimed:
            self._portion, self._requested_at = min(MOST, 2 * self._portion), inf
        elif passed > CLAIMED:
            self._portion, self._requested_at = max(LEAST, self._portion // 2), self._clock()

    def _look(self, connection: Connection) -> None:
        """What of it waits for its claim, and which lines have had enough for now."""
        self._unclaimed, self._stuck = 0, Counter()
        if not self._shares:
            return
        standing: dict[str, str] = dict(fetch(connection, _STANDING, {"ids": list(self._shares)}))
        for last, share in self._shares.items():
            if standing.get(last) != "pending":
                continue
            if self._clock() - share.at < STUCK:
                self._unclaimed += share.messages
            else:
                self._stuck[share.line.partition("/")[0]] += share.messages
        self._shares = {
            last: share
            for last, share in self._shares.items()
            if standing.get(last) == "pending" or (last in standing and share.messages > FEW)
        }

    def _turns(self, connection: Connection, settings: Settings, room: int) -> list[Turn]:
        passed = [topic for topic, messages in self._stuck.items() if messages >= PORTION]
        passed += fetch_column(connection, _PAUSED)
        visited = fetch_column(connection, _LINES, {"after": self._after, "limit": room, "passed": passed})
        self._after = visited[-1] if len(visited) == room else ""
        given: Counter[str] = Counter()
        for share in self._shares.values():
            given[share.line] += share.messages
        able = [line for line in visited if given[line] <= SHARE and line.partition("/")[0] not in passed]
        if not able:
            return []
        values = {
            "strict_topics": list(settings.strict_topics),
            "lines": able,
            "share": max(1, min(SHARE, room // len(able))),
            "limit": room,
        }
        return fetch(connection, _TURNS, values, into=Turn)
