"""The console command `herald`: finds its subcommands among the entry points and imports only the one used."""

from importlib.metadata import entry_points

import rich_click as click

GROUP = "herald.commands"
ORDER = (
    "up",
    "status",
    "send",
    "list",
    "history",
    "cancel",
    "again",
    "audit",
    "doctor",
    "dead-letters",
    "set-aside",
    "pause",
    "resume",
    "keys",
    "migrate",
    "extensions",
    "roles",
    "api",
    "relay",
    "pipeline",
    "rebuild",
    "replay",
    "sql",
)


class Commands(click.RichGroup):
    """Subcommands by entry point, so that `outbox` need not import `api` or `pipeline`."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names, in the order a newcomer needs them."""
        names = {entry.name for entry in entry_points(group=GROUP)}
        return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        found = entry_points(group=GROUP, name=cmd_name)
        return next(iter(found)).load() if found else None


@click.group(cls=Commands)
@click.version_option(package_name="herald")
def main() -> None:
    """Herald: what it accepts is delivered, whatever is killed.

    Settings come from the environment and from `.env`; the README lists them.
    """


if __name__ == "__main__":
    main(prog_name="herald")
