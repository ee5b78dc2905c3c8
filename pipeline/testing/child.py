"""`python -m herald.pipeline.testing.child FILE`: the pipeline of a test, in a process that may be killed."""

import json
import sys
import threading
from pathlib import Path

from herald.outbox.logs import configure_logs
from herald.outbox.stopping import stop_on_signals
from herald.pipeline.consume.application import quieten_quix
from herald.pipeline.testing.consumers import Consumers
from herald.pipeline.testing.journal import Journal
from herald.pipeline.testing.parts import run_pipeline
from herald.pipeline.testing.settings import make_settings


def main(path: Path) -> None:
    """Run what the file says: settings, consumers, the journal."""
    stop = threading.Event()
    stop_on_signals(stop)
    said = json.loads(path.read_text(encoding="utf-8"))
    configure_logs("pipeline")
    quieten_quix()
    consumers = Consumers(**said["consumers"])
    with consumers.registered():
        settings = make_settings(said["settings"])
        run_pipeline(settings, consumers, Journal(Path(said["journal"])), stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
