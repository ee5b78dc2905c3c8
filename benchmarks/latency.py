"""From POST to sent beside the bare chain, at the same rates, by one load generator; and alone on an idle system."""

from collections.abc import Iterable
from itertools import chain as chained
from threading import Event

from benchmarks.figures import Contest, Figure, Result, Target, percentile
from benchmarks.flow import Course, Flow, bare_chain, held_transaction, herald
from benchmarks.run import Run

RATES = (100, 500, 1000)  # notifications per second
HELD = 500
MOST = {100: {50: 2.0, 99: 1.5}, 500: {50: 2.0, 99: 1.5}, 1000: {50: 2.0, 99: 2.0}}  # times the chain's, by percentile
MOST_HELD = 1.1  # times what it is without a transaction that stays open
IDLE = 6.0  # seconds without a message before a lone one: longer than a window
RIVAL = "bare chain"
Turn = dict[tuple[int, bool], Course]  # by rate, and whether a transaction was held


def measure(run: Run) -> list[Result]:
    """Milliseconds, by the clock that this machine's processes share; in each round Herald first, then the chain."""
    lone = Figure("a lone notification on an idle system, POST → sent, most, ms", Target(most=1000))
    turns: list[tuple[Turn, Turn]] = []
    for _ in range(run.rounds):
        with herald(run.stage, run.whole) as flow:
            ours = _turn(run, flow)
            lone.add(_alone(flow, int(run.pick(1, 2))))
        with bare_chain(run.stage) as flow:
            turns.append((ours, _turn(run, flow)))
    return [*chained.from_iterable(_compared(rate, turns) for rate in RATES), *_held(turns), *_unsent(turns), lone]


def _turn(run: Run, flow: Flow) -> Turn:
    seconds, found = run.pick(3, 8, 60), Turn()
    for rate in RATES:
        run.stage.server.execute("CHECKPOINT")
        found[rate, False] = flow.post(seconds=seconds, rate=rate)
        if rate == HELD:
            with held_transaction(run.stage, flow.database):
                found[rate, True] = flow.post(seconds=seconds, rate=rate)
    return found


def _alone(flow: Flow, count: int) -> float:
    """The longest of so many, each after a rest."""
    found = []
    for _ in range(count):
        Event().wait(IDLE)
        found += flow.post(seconds=0.1, warm_up=0, rate=1).milliseconds
    return max(found)


def _compared(rate: int, turns: Iterable[tuple[Turn, Turn]]) -> list[Contest]:
    return [
        _contest(f"POST → sent at {rate:,}/s, p{share}, ms", share, Target(most=most), turns, (rate, False))
        for share, most in MOST[rate].items()
    ]


def _contest(
    name: str, share: int, target: Target, turns: Iterable[tuple[Turn, Turn]], place: tuple[int, bool]
) -> Contest:
    contest = Contest(name, RIVAL, target)
    for ours, theirs in turns:
        _add(contest, share, ours[place], theirs[place])
    return contest


def _add(contest: Contest, share: int, ours: Course, others: Course) -> None:
    figure, other = (percentile(course.milliseconds, share) for course in (ours, others))
    contest.add(figure, other, (ours.idle, others.idle))


def _held(turns: list[tuple[Turn, Turn]]) -> list[Result]:
    """Beside the chain with one held as well, and beside itself without."""
    name = f"POST → sent at {HELD}/s with a write transaction held"
    found: list[Result] = []
    for share in (50, 99):
        found.append(_contest(f"{name}, p{share}, ms", share, Target(), turns, (HELD, True)))
        within = Contest(f"{name}, p{share}, ms", "without one", Target(most=MOST_HELD))
        for ours, _ in turns:
            _add(within, share, ours[HELD, True], ours[HELD, False])
        found.append(within)
    return found


def _unsent(turns: list[tuple[Turn, Turn]]) -> list[Result]:
    ours, theirs = (
        Figure(f"left unsent a minute later, {who}, of {sum(len(one.posted) for one in turn.values()):,}", target)
        for who, turn, target in (("Herald", turns[0][0], Target(most=0)), (RIVAL, turns[0][1], Target()))
    )
    for our, their in turns:
        ours.add(sum(course.unsent for course in our.values()))
        theirs.add(sum(course.unsent for course in their.values()))
    return [ours, theirs]
