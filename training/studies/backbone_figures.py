"""The statistics of the study, each beside the first way's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from training.pairs.metrics import average_precision, counts_at
from training.statistics.intervals import Rows, over_resamples, percentiles
from training.statistics.tables import signed, with_interval

Flags = NDArray[np.bool_]

FOLDS = 5


def accuracy(rows: Rows, right: Flags) -> float:
    return float(right[rows].mean())


def f1(rows: Rows, called: Flags, same: Flags) -> float:
    return counts_at(called[rows].astype(np.float32), same[rows], 0.5).f1


def mean_precision(rows: Rows, similarities: NDArray[np.float64], same: Flags) -> float:
    return average_precision(similarities[rows], same[rows])


def beside_first(
    statistics: Sequence[Callable[[Rows], float]], n: int, samples: Sequence[Rows]
) -> list[tuple[str, str]]:
    """Of n cases each figure with its interval, and how much more than the first it is, on the same samples."""
    found = [over_resamples(statistic, n, samples) for statistic in statistics]
    first, drawn = found[0]
    less = [percentiles(figure.value - first.value, values - drawn, n) for figure, values in found]
    return [
        (with_interval(figure), signed(more) if place else "")
        for place, ((figure, _), more) in enumerate(zip(found, less, strict=True))
    ]


def mcnemar(right: Flags, reference: Flags) -> tuple[int, int, float]:
    """How many only the one gets right, how many only the other, and the exact p of McNemar's test."""
    ours, theirs = int((right & ~reference).sum()), int((reference & ~right).sum())
    return ours, theirs, float(binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0
