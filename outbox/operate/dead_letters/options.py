"""The options of `herald dead-letters` that say which."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import msgspec
import rich_click as click

from herald.outbox.desk.filters import Filter
from herald.outbox.operate.date_option import Date

MAX_REASON = 500  # characters
Command = Callable[..., Any]


class Reason(click.ParamType[str]):
    """Why: as long as the API takes it."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's signature
        """Fails for an empty one and for a longer one."""
        if not 0 < len(value) <= MAX_REASON:
            self.fail(f"{len(value)} characters, it takes 1 to {MAX_REASON}", param, ctx)
        return str(value)


def filtered(command: Command) -> Command:
    """The options of a filter; the command gets a Filter, which is empty where it gets names."""

    @wraps(command)  # the options given below this one are attributes of the function
    def wrapped(**given: Any) -> Any:  # noqa: ANN401 - what click hands over
        names = Filter.__struct_fields__
        chosen = _filter({name: given[name] for name in names if given[name] is not None})
        if given.get("messages") and chosen != Filter():
            raise click.UsageError("either MESSAGES by their ids or options that say which, not both")
        return command(chosen=chosen, **{name: value for name, value in given.items() if name not in names})

    for name in ("topic", "channel", "destination", "error", "event", "key"):
        wrapped = click.option(f"--{name}", help=f"Only with this {name}.")(wrapped)
    wrapped = click.option("--status", type=click.Choice(["dead", "unknown"]), help="Only in this status.")(wrapped)
    wrapped = click.option("--since", type=Date(), help="Only what came onto the desk since then.")(wrapped)
    return click.option("--until", type=Date(), help="Only what came onto the desk before then.")(wrapped)


def _filter(given: dict[str, Any]) -> Filter:
    try:
        return msgspec.convert(given, Filter)
    except msgspec.ValidationError as error:
        detail, _, path = str(error).partition(" - at `$.")
        raise click.BadParameter(detail, param_hint=f"--{path.rstrip('`')}") from None
