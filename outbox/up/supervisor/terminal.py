"""The one log of `herald up`: a line of any process, with its role in front."""

from threading import Lock

from rich.console import Console
from rich.text import Text

from herald.outbox.up.supervisor.reading import readable

OWN_NAME = "herald"
WIDTH = 8  # characters of the longest role
COLOURS = {
    OWN_NAME: "bold",
    "api": "cyan",
    "relay": "magenta",
    "pipeline": "green",
    "migrate": "yellow",
    "broker": "blue",
    "postgres": "bright_blue",
}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Go on in silence: a reader that left must not take the servers with it."""
        self.quiet = True


class Terminal:
    """Where all threads print; colours only on a terminal, and not with NO_COLOR."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or _Console(highlight=False, soft_wrap=True)
        self._lock = Lock()

    def line(self, role: str, text: str) -> None:
        """Print what a process wrote, each line of it with the role in front."""
        for body in readable(text).split("\n"):
            self._print(Text.assemble((f"{role:<{WIDTH}} │ ", COLOURS.get(role, "white")), body))

    def say(self, text: str, style: str = "") -> None:
        """Print what `herald up` itself has to say."""
        self._print(Text.assemble((f"{OWN_NAME:<{WIDTH}} │ ", COLOURS[OWN_NAME]), (text, style)))

    def complain(self, text: str) -> None:
        """Say what went wrong."""
        self.say(text, "bold red")

    def _print(self, line: Text) -> None:
        with self._lock:
            try:
                self.console.print(line, soft_wrap=True)
            except OSError:  # the terminal is gone (EIO); what we supervise is not
                self.console.quiet = True
