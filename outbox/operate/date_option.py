"""A date on the command line."""

from datetime import UTC, datetime
from typing import Any

import rich_click as click

from herald.outbox.message.dates import DateError, in_utc


class Date(click.ParamType[datetime]):
    """A date with a time zone; without one it is UTC."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401 - click's signature
        """Fails for what is no date."""
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value} is no date such as 2026-12-01T09:00:00+01:00", param, ctx)
        if found.tzinfo is None:
            return found.replace(tzinfo=UTC)
        try:
            return in_utc("date", found)
        except DateError as error:
            self.fail(f"{value} {error}", param, ctx)
