"""`python -m tests.proof.probes.frozen ROLE`: a process of Herald; parts hang while the file FREEZE names them.

A part hangs where its thread comes by next, and goes on when the file names it no more. With SILENT_FOR a thread may be
silent for fewer seconds than in production.
"""

import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from threading import Event
from typing import Any, ParamSpec, TypeVar

FREEZE, SILENT_FOR = "FREEZE", "SILENT_FOR"
HANGS = ".hangs"  # a file beside that one says that a part does
LOOK = 0.05  # seconds between two looks at the file
PROGRAM = (sys.executable, "-m", "tests.proof.probes.frozen")
P = ParamSpec("P")
T = TypeVar("T")

# By role and part: what its thread does again and again, as `module:name`.
API = {
    "committer": "herald.outbox.acceptance.committer:Committer._settle",
    "notifier": "herald.outbox.postgres.notify:Notifier._notified",
    "event loop": "herald.api.process:Server._beat",
    "keys": "herald.api.http.gate:read_mark",
    "reads": "sqlalchemy.engine:Engine.begin",
    "watch": "herald.outbox.postgres.watch:_look",
    "life": "herald.outbox.watched.life:Life.look",
}
PARTS: Mapping[str, Mapping[str, str]] = {
    "api": {**API, "supervisor": "herald.api.supervisor:Supervisor.watch"},
    "worker": API,
    "relay": {
        "publisher": "herald.outbox.relay.term:Term._publish_next",
        "reader": "herald.outbox.relay.term:read_next",
        "session that listens": "herald.outbox.relay.sends:wait_for_news",
        "session that waits for the lock": "herald.outbox.relay.session:try_to_lead",
        "scheduler": "herald.outbox.scheduler.duties:request_due",
        "retention": "herald.outbox.scheduler.retention:Retention.turn",
        "duties that ask Kafka": "herald.outbox.scheduler.pages:Pages.note",
    },
    "pipeline": {
        "consumer": "herald.pipeline.consume.sink:DeliverySink.add",
        "flush": "herald.pipeline.consume.sink:DeliverySink.flush",
        "worker": "herald.pipeline.work.worker:Worker.work",
        "loop of calls": "herald.pipeline.deliver.loop:Loop._beat",
        "handler": "herald.pipeline.topics.generic_topic:shortened",
        "channel": "herald.pipeline.channels.log:LogChannel.deliver",
        "admin": "herald.pipeline.consume.topic_ids:TopicWatch._look",
    },
}


def hanging(part: str, act: Callable[P, T]) -> Callable[P, T]:
    file, pause = Path(os.environ[FREEZE]), Event()
    mark = file.with_suffix(HANGS)

    @wraps(act)
    def act_when_told(*values: P.args, **named: P.kwargs) -> T:
        while file.exists() and file.read_text() == part:
            mark.touch()
            pause.wait(LOOK)
        return act(*values, **named)

    return act_when_told


def prepare(role: str) -> None:
    """Before anything else of Herald is imported: some take the limit as it is then."""
    life: Any = import_module("herald.outbox.watched.life")
    if silent_for := os.environ.get(SILENT_FOR):
        life.LIMIT = float(silent_for)
        life.Life.living.__wrapped__.__kwdefaults__["limit"] = life.LIMIT
    for part, place in PARTS[role].items():
        module, _, name = place.partition(":")
        owner_name, _, attribute = name.rpartition(".")
        owner = attrgetter(owner_name)(import_module(module)) if owner_name else import_module(module)
        setattr(owner, attribute, hanging(part, getattr(owner, attribute)))


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    prepare(role)
    if role == "worker":
        import_module("herald.api.worker").main(arguments)
    seat: Any = import_module("herald.api.seat")
    seat.PROGRAM = (*PROGRAM, "worker")
    sys.argv = ["herald", role]
    import_module("herald.outbox.cli").main()
