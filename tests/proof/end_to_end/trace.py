"""`python -m tests.proof.end_to_end.trace`: what one curl leaves behind, as a collector gets it."""

import json
import platform
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from tests.conftest import migrate
from tests.proof.end_to_end.traced import System, traced_herald
from tests.proof.faults.report import record
from tests.servers.http_server import HttpServer
from tests.servers.otlp import Exported
from tests.servers.postgres import DURABLE, PostgresServer

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "operating.md"
SHOWN = ("http.response.status_code", "herald.request", "herald.attempt", "herald.outcome", "error.type")
MILLISECOND = 1e6  # nanoseconds


class Forgetful(HttpServer):
    """Its first answer is 503."""

    def _do_ok(self, connection: object, *_: str) -> bool:
        return self._do_status(connection, "503" if len(self.received) == 1 else "200")  # type: ignore[arg-type]


@click.command()
@click.option("--record", "is_recorded", is_flag=True, help="Put the traces into docs/operating.md.")
def main(*, is_recorded: bool) -> None:
    """Send a notification with curl to a receiver that fails once, and show its traces."""
    with (
        tempfile.TemporaryDirectory(prefix="herald-trace-", ignore_cleanup_errors=True) as folder,
        PostgresServer(DURABLE) as server,
        Forgetful() as receiver,
    ):
        migrate(server.url())
        with traced_herald(server.url(), Path(folder)) as system:
            text = shown(system, receiver)
    click.echo(text)
    if is_recorded:
        record("trace", text, page=PAGE)


def shown(system: System, receiver: HttpServer) -> str:
    """The command, its answer, and both traces."""
    message = {
        "user_id": "42",
        "event": "order.shipped",
        "content": "Your parcel is on its way.",
        "channel": "webhook",
        "address": receiver.url(),
    }
    said = ["-X", "POST", "-H", "content-type: application/json", "-d", json.dumps(message)]
    url = f"{system.client.base_url}/notifications"
    done = subprocess.run(["curl", "-s", url, *said], capture_output=True, text=True, check=True)
    hops = system.hops(json.loads(done.stdout)["id"], 8)
    head = f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, PostgreSQL 18, the embedded broker."
    asked = (
        f"$ curl -s {url} -X POST -H 'content-type: application/json' \\\n    -d '{json.dumps(message)}'\n{done.stdout}"
    )
    return "\n".join([head, "", "```text", asked, "", *drawn(hops), "```"])


def drawn(hops: Sequence[Exported]) -> Iterator[str]:
    """Trace by trace: when each span began after the first of all, how long it took, where it was."""
    names = {(hop.trace, hop.id): hop.name for hop in hops}
    yield f"{'began':>9} {'took':>8}  milliseconds"
    for trace in dict.fromkeys(hop.trace for hop in hops):
        mine = [hop for hop in hops if hop.trace == trace]
        links = "".join(f", links to {names[link]} of {link[0]}" for link in mine[0].links)
        yield f"trace {trace}{links}"
        known = {hop.id for hop in mine}
        for hop, line in _below([hop for hop in mine if hop.parent not in known], mine, ""):
            began, took = (hop.began - hops[0].began) / MILLISECOND, (hop.ended - hop.began) / MILLISECOND
            told = " ".join(f"{name}={hop.attributes[name]}" for name in SHOWN if name in hop.attributes)
            yield f"{began:9.1f} {took:8.1f}  {line:<27} {hop.service:<15} {told}".rstrip()


def _below(roots: Iterable[Exported], hops: Sequence[Exported], indent: str) -> Iterator[tuple[Exported, str]]:
    for root in roots:
        yield root, f"{indent}{root.name}"
        yield from _below([hop for hop in hops if hop.parent == root.id], hops, f"{indent}  ")


if __name__ == "__main__":
    main()
