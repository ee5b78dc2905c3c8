"""Whoever starts a thread learns that it cannot begin."""

import re
import subprocess
import sys
import threading

from herald.outbox import threads
from tests.conftest import ROOT

FOR_DEVELOPERS = ("outbox/up/", "pipeline/testing/")


# In a process of its own: without the deadline it would never end.
WITHOUT_MEMORY = """
import threading
from herald.outbox import threads

def lack_memory(_thread):
    raise MemoryError

threads.BEGIN_TIMEOUT = 0.1
threading.Thread._bootstrap = lack_memory
try:
    threads.Thread(print, "never").start()
except RuntimeError as error:
    print(error)
"""


def test_a_thread_without_memory_for_its_first_step_is_not_waited_for_without_end() -> None:
    command = [sys.executable, "-P", "-c", WITHOUT_MEMORY]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.startswith("can't start new thread")


def test_a_thread_begins_and_is_joined() -> None:
    done = threading.Event()
    thread = threads.Thread(done.set, "short")

    thread.start()
    thread.join(10)

    assert done.is_set()
    assert not thread.is_alive()


def test_what_runs_in_production_begins_no_thread_of_pythons_own() -> None:
    files = [file for room in ("api", "outbox", "pipeline") for file in (ROOT / room).rglob("*.py")]
    own = [
        name
        for name in (str(file.relative_to(ROOT)) for file in files)
        if not name.startswith(FOR_DEVELOPERS)
        and re.search(r"threading\.(Thread|Timer)\(\w", (ROOT / name).read_text())
    ]

    assert files
    assert not own
