"""How well a score tells which answers are wrong: ranking, calibration, what remains when the worst are looked at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
RESAMPLES = 1000

Statistic = Callable[[Floats, Flags], float]  # of a score (n,) and mistakes (n,), or (S, n) of S networks


def auroc(score: Floats, wrong: Flags) -> float:
    """Of a score (n,) for mistakes (n,). Raises ValueError where all or none are wrong."""
    _require_both(wrong)
    mistakes = int(wrong.sum())
    ranks = rankdata(score)[wrong].sum()
    return float((ranks - mistakes * (mistakes + 1) / 2) / (mistakes * (len(wrong) - mistakes)))


def _require_both(wrong: Flags) -> None:
    if wrong.all() or not wrong.any():
        raise ValueError("a network that is always or never wrong tells nothing of difficulty")


def mean_auroc(score: Floats, wrong: Flags) -> float:
    """Averaged over the networks of `wrong` (S, n)."""
    return float(np.mean([auroc(score, one) for one in wrong]))


def average_precision(score: Floats, wrong: Flags) -> float:
    """Of a score (n,) for mistakes (n,): precision averaged over the mistakes, in the order of the score; equal scores
    count as their mean would in random order, nearly. Raises ValueError where all or none are wrong."""
    _require_both(wrong)
    ranks = rankdata(-score, method="max")[wrong]  # how many are at least as high
    found = rankdata(-score[wrong], method="max")
    return float((found / ranks).mean())


def risk_area(score: Floats, wrong: Flags) -> float:
    """The area under the risk-coverage curve (Geifman & El-Yaniv, 2017): the share of mistakes (n,) among the images
    that are kept, averaged over all numbers of images kept, those with the lowest score (n,) first."""
    order = np.argsort(score, kind="stable")
    return float((np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)).mean())


def left_over(score: Floats, wrong: Flags, workload: float = 0.05) -> int:
    """How many mistakes (n,) remain after the `workload` of images with the highest score (n,) went to people."""
    order = np.argsort(-score, kind="stable")
    return int(wrong[order[round(workload * len(order)) :]].sum())


def found_at(score: Floats, foreign: Flags, false: float = 0.01) -> float:
    """The share of foreign images (n,) whose score (n,) is above that of all but the share `false` of the others."""
    _require_both(foreign)
    return float((score[foreign] > np.quantile(score[~foreign], 1 - false)).mean())


def brier_skill(probability: Floats, wrong: Flags) -> float:
    """1 less the mean squared error over that of the base rate, over all networks of `wrong` (S, n). Raises ValueError
    where all or none are wrong."""
    _require_both(wrong)
    truth = wrong.astype(np.float64)
    own = float(((probability - truth) ** 2).mean())
    base = float(((truth.mean() - truth) ** 2).mean())
    return 1 - own / base


def lift(score: Floats, wrong: Flags, workload: float = 0.1) -> float:
    """The share of mistakes among the `workload` of images that the score calls hardest, over their share among all;
    the first of equal ones. Raises ValueError where all or none are wrong."""
    _require_both(wrong)
    hardest = np.argsort(-score, kind="stable")[: max(1, round(workload * len(score)))]
    return float(wrong[:, hardest].mean() / wrong.mean())


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float], n: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % interval of `statistic`, a function of chosen rows, by drawing the n images anew (percentile bootstrap).
    Draws of which it can't be told, since they hold no mistake, are left out."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        try:
            found.append(statistic(rng.integers(0, n, n)))
        except ValueError:
            continue
    if not found:
        raise ValueError("no draw of the images holds both mistakes and none")
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def interval_of(statistic: Callable[[Flags, NDArray[np.int64]], float], wrong: Flags) -> str:
    """`statistic` of the mistakes (S, m) at rows (m,), for all n and, in brackets, its interval."""
    n = wrong.shape[1]
    low, high = bootstrap(lambda rows: statistic(wrong[:, rows], rows), n)
    return f"{statistic(wrong, np.arange(n)):.3f} ({low:.3f}–{high:.3f})"
