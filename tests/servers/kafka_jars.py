"""Apache Kafka's jars, fetched once from Maven Central into the checkout's `.cache`."""

import hashlib
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

POM = Path(__file__).parent / "kafka" / "pom.xml"
CACHE = Path(__file__).parent.parent.parent / ".cache" / "kafka"
DOWNLOAD_TIMEOUT = 600.0  # seconds; 43 MB


def kafka_folder() -> Path:
    """Holds `libs/*.jar`; named by the pom's content, so that a new version is fetched anew.

    Raises AssertionError with Maven's output when Maven Central is not reached.
    """
    folder = CACHE / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    if not folder.exists():
        _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, ignore_cleanup_errors=True) as scratch:
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
        command.append(f"-DoutputDirectory={scratch}/fetched/libs")
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT, check=False)
        assert done.returncode == 0, f"Maven could not fetch Apache Kafka:\n{done.stdout}{done.stderr}"
        with suppress(OSError):  # a run beside this one was quicker
            (Path(scratch) / "fetched").rename(folder)  # whole or not at all
