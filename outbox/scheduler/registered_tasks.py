"""The registered tasks, as duties of a scheduler."""

import time

from herald.outbox.extensions import TASK, load
from herald.outbox.registry import TASKS
from herald.outbox.scheduler.schedule import Duty
from herald.outbox.scheduler.task import Task


def load_tasks() -> list[Duty]:
    """Each first runs after one interval. Raises ExtensionError."""
    now = time.monotonic()
    tasks: dict[str, Task] = {name: load(TASK, name) for name in TASKS}
    return [Duty(task.every, task.run, name=name, due=now + task.every) for name, task in tasks.items()]
