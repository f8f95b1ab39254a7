"""Calls that take turns, so that a busy machine is as hard on each; what one costs is told as a ratio to another."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

WARM_UP = 10

Seconds = Mapping[str, NDArray[np.float64]]


def measure(
    timed: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, NDArray[np.float64]]:
    """Seconds (rounds,) of each call; every round makes each once, each round beginning with another."""
    names = list(timed)
    seconds = {name: np.empty(rounds) for name in names}
    for round_number in range(-WARM_UP, rounds):
        turn = round_number % len(names)
        for name in names[turn:] + names[:turn]:
            began = clock()
            timed[name]()
            if round_number >= 0:
                seconds[name][round_number] = clock() - began
    return seconds


def ratios(seconds: Seconds, wanted: Mapping[str, tuple[str, str]]) -> dict[str, tuple[float, float, float]]:
    """wanted: a name → the calls above and below the line. Name → median, 10th and 90th percentile over the rounds."""
    found = {}
    for name, (above, below) in wanted.items():
        low, median, high = np.percentile(seconds[above] / seconds[below], (10, 50, 90))
        found[name] = (float(median), float(low), float(high))
    return found
