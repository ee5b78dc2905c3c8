"""An environment that has what a package requires, and nothing else."""

import subprocess
import sys
import venv
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement


def build(project: Path, folder: Path) -> Path:
    """The wheel of a project, in that folder."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=project, capture_output=True, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_environment(folder: Path, requirements: Iterable[str], wheels: Sequence[Path] = ()) -> Path:
    """Links to these as they are installed here, without their extras, and what the wheels have; its site-packages."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    known: dict[str, Distribution] = {}
    for one in requirements:
        _require(Requirement(one), known)
    for wheel in wheels:
        with ZipFile(wheel) as archive:
            archive.extractall(site)
    unpacked = {wheel.name.partition("-")[0] for wheel in wheels}
    for found in (one for one in known.values() if one.name not in unpacked):
        for name in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (site / name).is_symlink():
                (site / name).symlink_to(Path(str(found.locate_file(name))))
    return site


def _require(wanted: Requirement, known: dict[str, Distribution]) -> None:
    """Add this and what it needs here, by names with extras."""
    key = f"{wanted.name}[{','.join(sorted(wanted.extras))}]"
    if key not in known:
        known[key] = distribution(wanted.name)
        for one in map(Requirement, known[key].requires or ()):
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                _require(one, known)
