"""The example of how to change Herald fits the code as it is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_FILES = 5  # of the product, beside one migration


def diff() -> str:
    (found,) = re.findall(r"```diff\n(.*?)```", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def test_it_touches_few_files_and_what_it_changes_is_there() -> None:
    parts = re.split(r"^--- ", diff(), flags=re.MULTILINE)[1:]
    paths = [re.findall(r"^\+\+\+ b/(\S+)", part, re.MULTILINE)[0] for part in parts]
    migrations = [path for path in paths if path.startswith("alembic/versions/")]

    assert len(migrations) == 1
    assert len(paths) - len(migrations) <= MOST_FILES
    for path, part in zip(paths, parts, strict=True):
        if part.startswith("/dev/null"):
            assert not (ROOT / path).exists()
            continue
        code = (ROOT / path).read_text(encoding="utf-8")
        for hunk in re.split(r"^@@.*\n", part, flags=re.MULTILINE)[1:]:
            before = "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in " -")
            assert before in code, f"{path}\n{before}"
