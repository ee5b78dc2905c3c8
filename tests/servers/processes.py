"""What the machine says of a process, whoever started it."""

import subprocess


def is_gone(pid: int) -> bool:
    """Also where nobody has asked yet how it ended."""
    return state_of(pid)[:1] in {"", "Z"}


def state_of(pid: int) -> str:
    """Of a process, as `ps` names it."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
