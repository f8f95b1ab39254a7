"""Figures with 95 % intervals: shares, rates of rare events, and any statistic over resampled photos."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

TAIL = 0.025
Z95 = 1.959963984540054
RESAMPLES = 1000

Rows = NDArray[np.int32]
Statistic = Callable[[Rows], float]


class Figure(NamedTuple):
    """A measured value, its 95 % interval, and how many pairs it is from."""

    value: float
    low: float
    high: float
    n: int


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion."""
    share = right / n
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    reach = Z95 / (1 + Z95**2 / n) * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def share(count: int, n: int) -> Figure:
    """A share of independent cases, with Wilson's interval. Raises ValueError where there is no case."""
    if n == 0:
        raise ValueError("a share of no cases")
    return Figure(count / n, *wilson(count, n), n)


def rate(count: int, n: int, per: float) -> Figure:
    """Rare events per `per` cases; the interval is exact for a Poisson count (Garwood 1936)."""
    low = float(chi2.ppf(TAIL, 2 * count)) / 2 if count else 0.0
    high = float(chi2.ppf(1 - TAIL, 2 * count + 2)) / 2
    scale = per / n
    return Figure(count * scale, low * scale, high * scale, n)


def resamples(clusters: NDArray[np.integer], count: int, seed: int) -> list[Rows]:
    """`count` bootstrap samples of rows: whole clusters are drawn, as many as there are, with replacement.

    clusters (n,): the cluster of each row. The same arguments give the same samples, so that two methods can be
    compared on them sample by sample.
    """
    order = np.argsort(clusters, kind="stable").astype(np.int32)
    _, starts = np.unique(clusters[order], return_index=True)
    members = np.split(order, starts[1:])
    rng = np.random.default_rng(seed)
    return [np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]) for _ in range(count)]


def over_resamples(statistic: Statistic, n: int, samples: Sequence[Rows]) -> tuple[Figure, NDArray[np.float64]]:
    """The statistic of all `n` rows with its percentile interval, and its values on the samples."""
    drawn = np.array([statistic(rows) for rows in samples])
    return percentiles(statistic(np.arange(n, dtype=np.int32)), drawn, n), drawn


def percentiles(value: float, drawn: NDArray[np.float64], n: int) -> Figure:
    """A value and the middle 95 % of what the samples gave."""
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL])
    return Figure(value, float(low), float(high), n)
