"""Many seeds, over all cores."""

import os
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.proof.model.run import run

CHUNK = 50  # seeds handed to a process at once


def make_processes() -> ProcessPoolExecutor:
    """One for each core; a context manager."""
    return ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"))


def violations(
    processes: ProcessPoolExecutor, seeds: range, *, without: str | None = None
) -> Generator[tuple[int, str]]:
    """Seeds, in their order, in which a promise was broken, and which. Once closed it begins with no more of them."""
    chunks = [seeds[begin : begin + CHUNK] for begin in range(0, len(seeds), CHUNK)]
    running = [processes.submit(_violations, chunk, without=without) for chunk in chunks]
    try:
        for one in running:
            yield from one.result()
    finally:
        for one in running:
            one.cancel()


def _violations(seeds: range, *, without: str | None) -> list[tuple[int, str]]:
    return [(seed, found) for seed in seeds if (found := run(seed, without=without)[0])]
