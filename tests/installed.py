"""An environment that has what a package requires, and nothing else."""

import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement


def make_environment(folder: Path, requirements: Iterable[str]) -> Path:
    """Links to these as they are installed here, without their extras; returns its site-packages."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    known: dict[str, Distribution] = {}
    for one in requirements:
        _require(Requirement(one), known)
    for found in known.values():
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
