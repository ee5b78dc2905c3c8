"""`python -m pipeline.testing.child FILE`: the pipeline of a test, in a process that may be killed."""

import json
import sys
import threading
from pathlib import Path

from outbox.logs import configure_logs
from outbox.stopping import stop_on_signals
from pipeline.application import quieten_quix
from pipeline.testing.consumers import Consumers
from pipeline.testing.journal import Journal
from pipeline.testing.parts import run_pipeline
from pipeline.testing.settings import make_settings


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
