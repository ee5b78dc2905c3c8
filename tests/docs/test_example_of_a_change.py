"""What the architecture says of lengths, and its example of a change, fit the code as it is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
ROUNDED = 500  # lines by which what is said may be off
MOST_FILES = 5  # of the product, beside one migration


def diff() -> str:
    (found,) = re.findall(r"```diff\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
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


def test_the_length_of_the_main_path_is_told_truly() -> None:
    page = PAGE.read_text(encoding="utf-8")
    path = page[page.index("## 1. ") : page.index("## 6. ")]
    files = {(PAGE.parent / one).resolve() for one in re.findall(r"\]\(([^)#]+\.(?:py|sql))\)", path)}

    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)

    (said,) = re.findall(r"sections 1 to 5: ([\d,]+) lines", page)
    assert abs(int(said.replace(",", "")) - lines) <= ROUNDED, lines
