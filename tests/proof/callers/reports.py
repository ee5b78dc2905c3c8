"""What each proof puts into docs/proof.md."""

from collections import Counter
from collections.abc import Sequence

from tests.proof.callers import away as absences
from tests.proof.callers.bench import CALLERS, Calls
from tests.proof.callers.doors import Compared
from tests.proof.callers.kills import PLACES, Killed
from tests.proof.callers.lock_waits import LONGEST, Wait
from tests.proof.callers.locks import Found as Locked
from tests.proof.callers.matrix import Played
from tests.proof.callers.open_transaction import Found as Open
from tests.proof.callers.plans import ENDINGS, LEVELS, WAYS
from tests.proof.faults.report import machine, measured, paragraphs, table

WAIT = f"waits of theirs for a lock, longer than {1000 * LONGEST:g} ms"


def ways(played: Played, killed: Killed, *, seed: int) -> str:
    head = f"{machine()}. Seed {seed}. {len(played.plans)} transactions, {len(LEVELS)} for each cell; then"
    head += f" {len(killed.victims)} callers killed."
    counts = played.count()
    rows = [
        f"| {way} | {' | '.join(str(counts[ending][way]) for ending in ENDINGS)} | {killed.ways[way]} |" for way in WAYS
    ]
    columns = ["", *ENDINGS, "killed"]
    matrix = "\n".join([f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *rows])
    figures: dict[str, object] = {f"killed {place}": killed.places[place] for place in PLACES}
    figures |= {
        f"{PLACES[2]}, answered before they died": killed.answered,
        f"{PLACES[2]}, not answered, and there all the same": killed.came,
        "rows of callers": len(killed.found.orders),
        "**rows without a message, messages without a row, anything else that differs**": len(
            played.wrong + killed.wrong
        ),
    }
    return paragraphs([head, matrix, table(("callers", "number"), figures), _verdict(played.wrong + killed.wrong)])


def transaction(found: Open, *, seconds: float) -> str:
    named = {f"named by the {what}": text for what, text in found.named.items()}
    return measured(
        f"{machine()}. {CALLERS} callers by SQL, and one by HTTP each second.",
        {
            "the transaction is open for": f"{seconds:,.0f} s",
            "sent by SQL beside it": len(found.beside.seconds),
            "by HTTP": found.posted,
            "**delivered while it was open**": "all of them",
            "median of a transaction, before and beside it": _both(found.before, found.beside, 0.5),
            f"**{WAIT}**": _count(found.waits),
            **named,
        },
        _verdict(found.wrong + [wait.shown() for wait in found.waits]),
    )


def locks(found: Locked) -> str:
    alone, beside = found.alone, found.beside
    done = ", ".join(f"{what} {times} times" for what, times in found.done.items())
    return measured(
        f"{machine()}. {CALLERS} callers, {found.rate:,.0f} transactions per second asked for, and one caller more"
        " whose transactions are open for three seconds each.",
        {
            "came through beside them": done,
            "transactions per second, alone and beside": f"{alone.per_second:,.0f}, {beside.per_second:,.0f}",
            "median of a transaction, alone and beside": _both(alone, beside, 0.5),
            f"**{WAIT}**": _count(found.waits),
        },
        _verdict([wait.shown() for wait in found.waits]),
    )


def away(found: absences.Away) -> str:
    return measured(
        f"{machine()}. Every process stopped, then the database's clock moved by {found.days:g} days.",
        {
            "orders that committed with their message meanwhile": found.orders,
            "**lost, twice or not sent after the start**": len(found.wrong),
        },
        _verdict(found.wrong),
    )


def inputs(compared: Compared) -> str:
    every = Counter[str]()
    for (_, what), times in compared.found.items():
        every[what.partition(",")[0]] += times
    forms = sorted({form for form, _ in compared.found})
    columns = list(every)
    rows = [f"| {form} | {' | '.join(f'{compared.found[form, what]:,}' for what in columns)} |" for form in forms]
    head = f"{machine().replace('fsync on', 'fsync off')}. Seed {compared.seed}; {every.total():,} inputs."
    outcome = {f"of what only SQL accepts: {end}": times for end, times in compared.dead.items()}
    matrix = "\n".join([f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|", *rows])
    return paragraphs([head, matrix, table(("", "number"), outcome), _verdict(compared.wrong)])


def _both(first: Calls, second: Calls, share: float) -> str:
    return f"{first.percentile(share):,.1f} ms, {second.percentile(share):,.1f} ms"


def _count(waits: Sequence[Wait]) -> str:
    return f"{len(waits)}" + (f", the longest {waits[0].milliseconds:,.0f} ms" if waits else "")


def _verdict(wrong: Sequence[str]) -> str:
    return f"WRONG: {' · '.join(wrong[:5])}" if wrong else "Nothing was wrong."
