"""The registered tasks, as duties of a scheduler."""

import time
from importlib import import_module

from herald.outbox import registry
from herald.outbox.scheduler.schedule import Duty


def load_tasks() -> list[Duty]:
    """Each first runs after one interval.

    Raises ImportError or AttributeError for a line in the registry that leads nowhere.
    """
    now = time.monotonic()
    return [
        Duty(every, import_module(module).run, name=module, due=now + every) for module, every in registry.TASKS.items()
    ]
