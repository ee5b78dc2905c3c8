"""PostgreSQL's own load generator, of the wheel."""

import re
import subprocess

from benchmarks.stage import MEASURE_TIMEOUT, Stage

_LATENCY = re.compile(r"^latency average = ([0-9.]+) ms$", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: 0 ", re.MULTILINE)


def pgbench(stage: Stage, database: str, script: str, *options: str, commit: str = "on") -> float:
    """Run a script to its end, each statement prepared; the mean of a transaction in milliseconds."""
    path = stage.folder / "transaction.sql"
    path.write_text(script, encoding="utf-8")
    command = [str(stage.server.tool("pgbench")), "--no-vacuum", "--protocol=prepared", f"--file={path}", *options]
    done = subprocess.run(
        [*command, stage.server.url(database)],
        env={"PGOPTIONS": f"-c synchronous_commit={commit}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=MEASURE_TIMEOUT,
    )
    if done.returncode or not _FAILED.search(done.stdout):
        message = f"pgbench failed\n{done.stdout}{done.stderr}"
        raise RuntimeError(message)
    return float(_LATENCY.findall(done.stdout)[0])
