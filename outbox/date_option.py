"""A date on the command line."""

from datetime import UTC, datetime
from typing import Any

import rich_click as click


class Date(click.ParamType[datetime]):
    """A date with a time zone; without one it is UTC."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401 - click's signature
        """Fails for what is no date."""
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value} is no date such as 2026-12-01T09:00:00+01:00", param, ctx)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
