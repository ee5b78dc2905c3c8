"""`python -m tests.proof.alerts`: alerts and runbooks on a live system, each proof with a report."""

import sys

import click

from tests.proof.alerts import reports
from tests.proof.alerts.causes import CAUSES
from tests.proof.alerts.firing import show
from tests.proof.alerts.health import kill_singly, stay_well
from tests.proof.alerts.runbooks import Followed, draw, follow
from tests.proof.alerts.stage import RATE, staged
from tests.proof.faults.__main__ import drawn, finish, record_option, seed_option

rate_option = click.option("--rate", type=float, default=RATE, show_default=True, help="Requests per second.")
alerts_argument = click.argument("alerts", nargs=-1, type=click.Choice(list(CAUSES)))


@click.group()
def main() -> None:
    """Watch a running Herald with Prometheus and the alerts of deploy/."""


@main.command()
@alerts_argument
@rate_option
@record_option
def fire(alerts: tuple[str, ...], rate: float, *, is_recorded: bool) -> None:
    """Cause each alert, or those that are named, see it firing, end its cause, see it resolved."""
    with staged() as stage, stage.load(rate):
        found = show(stage, alerts)
    finish("alerts-fire", reports.fire(found), is_recorded=is_recorded)
    sys.exit(1 if found.wrong else 0)


@main.command()
@click.option("--seconds", type=click.FloatRange(10), default=3600.0, show_default=True)
@rate_option
@record_option
def healthy(seconds: float, rate: float, *, is_recorded: bool) -> None:
    """Stay well for so long, and count the alerts."""
    with staged() as stage, stage.load(rate) as load:
        found = stay_well(stage, load, seconds)
    finish("alerts-healthy", reports.quiet(found), is_recorded=is_recorded)
    sys.exit(1 if found.wrong else 0)


@main.command()
@click.option("--kills", type=click.IntRange(1), default=100, show_default=True)
@seed_option
@rate_option
@record_option
def kills(kills: int, seed: int | None, rate: float, *, is_recorded: bool) -> None:
    """Kill single processes under load, and count the alerts."""
    seed = drawn(seed)
    with staged() as stage, stage.load(rate) as load:
        found = kill_singly(stage, load, kills=kills, seed=seed)
    finish("alerts-kills", reports.quiet(found), is_recorded=is_recorded)
    sys.exit(1 if found.wrong else 0)


@main.command()
@alerts_argument
@click.option("--all", "is_all", is_flag=True, help="Instead of three by lot.")
@seed_option
@rate_option
@record_option
def runbooks(alerts: tuple[str, ...], seed: int | None, rate: float, *, is_all: bool, is_recorded: bool) -> None:
    """Break a system as an alert says, follow its runbook to the letter, and see it mended."""
    names = list(CAUSES) if is_all else list(alerts) or draw(drawn(seed))
    with staged() as stage, stage.load(rate):
        followed = [tell(follow(stage, name)) for name in names]
    finish("alerts-runbooks", reports.runbooks(followed), is_recorded=is_recorded)
    sys.exit(1 if any(one.wrong for one in followed) else 0)


def tell(followed: Followed) -> Followed:
    """That one is over."""
    click.echo(f"{followed.alert}: {followed.wrong or 'mended'}", err=True)
    return followed


if __name__ == "__main__":
    main()
