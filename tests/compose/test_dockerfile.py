"""The image's recipe, as far as it can be checked without building it."""

import fnmatch

from tests.compose.compose_file import ROOT

LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def instructions(name: str) -> list[str]:
    return [line.removeprefix(f"{name} ") for line in LINES if line.startswith(f"{name} ")]


def test_everything_that_is_copied_exists_and_reaches_the_engine() -> None:
    sources = [part for copy in instructions("COPY") if "--from" not in copy for part in copy.split()[:-1]]

    assert sources
    assert all((ROOT / source).exists() for source in sources)
    assert all(f"!{source}" in IGNORED for source in sources)


def test_nothing_else_reaches_the_engine() -> None:
    assert IGNORED[1] == "*"
    assert not any(fnmatch.fnmatch(".env", line.removeprefix("!")) for line in IGNORED if line.startswith("!"))


def test_the_lock_file_decides_what_is_installed() -> None:
    installs = [line for line in LINES if "uv sync" in line]

    assert installs
    assert all("--locked --no-dev --extra otel --compile-bytecode" in line for line in installs)


def test_the_process_is_herald_and_not_root() -> None:
    assert instructions("USER") == ["herald"]
    assert instructions("ENTRYPOINT") == ['["herald"]']
