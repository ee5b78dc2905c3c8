"""Random kills over all processes under load, and their report."""

from collections import Counter

from tests.proof.faults.chaos import FROM_OUTSIDE, Chaos, Kills, plan
from tests.proof.faults.ledger import Ledger
from tests.proof.faults.oracle import Verdict
from tests.proof.faults.report import machine, paragraphs, table
from tests.proof.faults.scene import Scene

RATE = 80.0  # requests per second, beside processes that start all the time
PACE = 0.7  # seconds between two blows on average


def kill_at_random(
    scene: Scene, *, kills: int, seed: int, rate: float = RATE, pace: float = PACE, deadline: float
) -> tuple[Kills, Ledger, Verdict]:
    """The fleet has to run; everything is over when it returns."""
    with scene.load(rate, seed=seed) as load:
        done = Chaos(scene.fleet, load, scene.provider).carry_out(plan(seed, list(scene.fleet.members), pace), kills)
        done.arrived_meanwhile = len({arrival.id for arrival in list(scene.provider.arrivals)})
    return done, load.ledger, scene.judge(load.ledger, deadline)


def describe(kills: Kills, verdict: Verdict, *, seed: int, rate: float, of_each: int) -> str:
    """For the page."""
    figures = verdict.figures
    what = (
        f"{machine()}. Seed {seed}; {of_each} of each process, {rate:g} requests per second,"
        f" {kills.total:,} kills in {kills.seconds:,.0f} s."
    )
    found = {
        "requests accepted": figures["accepted"],
        "requests refused, as they should be": figures["refused"],
        "requests whose answer never came": figures["unknown"],
        "of those, in the log (and delivered)": figures["unknown and in the log"],
        "**lost**": figures["lost"],
        "in the log and never asked for, or twice": figures["in the log and not asked for"],
        "arrived at the provider while the kills went on": kills.arrived_meanwhile,
        "calls at the provider": figures["arrivals"],
        "**of them repeated**": figures["arrivals beyond the one called sent"],
        "**attempts that the log calls unknown, and whose call arrived**": figures["of those arrived"],
        "attempts that the log calls unknown or failed, in all": figures["attempts called unknown or failed"],
        "records on Kafka": figures["records on Kafka"],
        "of them repeated by a relay": figures["records repeated on Kafka"],
        **_order(figures),
    }
    return paragraphs(
        [
            what,
            table(("", "number"), found),
            verdict.in_words(),
            table(("killed", "kills"), _by_role(kills)),
            _places(kills),
        ]
    )


def _order(figures: dict[str, int]) -> dict[str, str]:
    return {
        f"pairs whose order was judged {where}, **of them wrong**": f"{figures[f'pairs judged {where}']:,},"
        f" **{figures[f'out of order {where}']:,}**"
        for where in ("on Kafka", "in the log", "at the provider")
    }


def _by_role(kills: Kills) -> dict[str, int]:
    roles: Counter[str] = Counter()
    for victim, number in kills.by_victim.items():
        roles[victim.partition("-")[0]] += number
    return dict(roles.most_common())


def _places(kills: Kills) -> str:
    at_points = {f"`{place}`": number for place, number in sorted(kills.by_place.items()) if place != FROM_OUTSIDE}
    return table(("where", "kills"), {FROM_OUTSIDE: kills.by_place[FROM_OUTSIDE], **at_points})
