"""Many seeds, over all cores."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from tests.proof.model.run import run

CHUNK = 50  # seeds handed to a process at once


def violations(seeds: range, *, without: str | None = None) -> Iterator[tuple[int, str]]:
    """Seeds, in their order, in which a promise was broken, and which."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        chunks = [seeds[begin : begin + CHUNK] for begin in range(0, len(seeds), CHUNK)]
        try:
            for found in processes.map(partial(_violations, without=without), chunks):
                yield from found
        finally:
            processes.shutdown(cancel_futures=True)


def _violations(seeds: range, *, without: str | None) -> list[tuple[int, str]]:
    return [(seed, found) for seed in seeds if (found := run(seed, without=without)[0])]
