"""How well a score tells which images a classifier gets wrong, and how well it could at best."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from phototriage.model_folder.manifest import Metric
from training.loop.evaluation import metric_of
from training.statistics.intervals import Figure

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
CHANCE = 0.5
PREFIX = "difficulty: "  # of a score's figures among a model's
RESAMPLES = 1000

Statistic = Callable[[Floats, Flags], float]  # of a score (n,) and mistakes (S, n)


def mistakes(probabilities: Floats, labels: NDArray[np.int64]) -> Flags:
    """(S, n) from probabilities (S, n, K) and labels (n,): whether each network is wrong."""
    found: Flags = probabilities.argmax(-1) != labels
    return found


def losses(probabilities: Floats, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,): cross-entropy in nats, averaged over the networks."""
    said = probabilities[:, np.arange(len(labels)), labels].astype(np.float64)
    found: NDArray[np.float64] = -np.log(np.maximum(said, np.finfo(np.float32).tiny)).mean(0)
    return found


def hard_subset(loss: Floats, labels: NDArray[np.int64], share: float = 0.2) -> Flags:
    """(n,): the hardest `share` of each class by loss; the first of equal ones."""
    hard = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = np.argsort(-loss[members], kind="stable")
        hard[members[order[: round(share * len(members))]]] = True
    return hard


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


def ceiling(wrong: Flags) -> float:
    """How well the other networks' share of mistakes on an image tells one network's, averaged over the networks of
    `wrong` (S, n), S at least 2: a network's mistakes are partly luck, which no score knows."""
    if len(wrong) < 2:
        raise ValueError("a ceiling takes two networks or more")
    return float(np.mean([auroc(np.delete(wrong, place, 0).mean(0), one) for place, one in enumerate(wrong)]))


def share_of_ceiling(score: Floats, wrong: Flags) -> float:
    """(AUROC − .5) / (ceiling − .5): 0 for a score that says nothing, 1 for one as good as other networks. Raises
    ValueError where these say nothing of each other."""
    best = ceiling(wrong) - CHANCE
    if best <= 0:
        raise ValueError("the networks' mistakes tell nothing of each other")
    return (mean_auroc(score, wrong) - CHANCE) / best


def brier_skill(probability: Floats, wrong: Flags) -> float:
    """1 less the mean squared error over that of the base rate, over all networks of `wrong` (S, n). Raises ValueError
    where all or none are wrong."""
    _require_both(wrong)
    truth = wrong.astype(np.float64)
    own = float(((probability - truth) ** 2).mean())
    base = float(((truth.mean() - truth) ** 2).mean())
    return 1 - own / base


def ceiling_lift(wrong: Flags, workload: float = 0.1) -> float:
    """`lift` of the other networks' share of mistakes for one network's, averaged over the networks of `wrong` (S, n).
    Where that share ties, as of few networks it often does, the first of equal ones count."""
    others = [(np.delete(wrong, place, 0).mean(0), one) for place, one in enumerate(wrong)]
    return float(np.mean([lift(share, one[np.newaxis], workload) for share, one in others]))


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


def figures(
    score: Floats, wrong: Flags, own: Flags, workload: float, photos: str, split: str, *, resamples: int = RESAMPLES
) -> list[Metric]:
    """What a score (n,) is worth, with intervals: against mistakes `wrong` (S, n) of reference networks, and `own` (n,)
    of the classifier itself, if it made any."""
    wanted: list[tuple[str, Callable[[NDArray[np.int64]], float]]] = [
        ("AUROC of reference mistakes", lambda rows: mean_auroc(score[rows], wrong[:, rows])),
        ("its ceiling: other reference networks", lambda rows: ceiling(wrong[:, rows])),
        ("share of the ceiling", lambda rows: share_of_ceiling(score[rows], wrong[:, rows])),
        ("Brier skill", lambda rows: brier_skill(score[rows], wrong[:, rows])),
        (f"mistakes in the hardest {workload:.0%}", lambda rows: lift(score[rows], wrong[:, rows], workload)),
    ]
    if own.any() and not own.all():
        wanted.append(
            (f"AUROC of the classifier's own {own.sum()} mistakes", lambda rows: auroc(score[rows], own[rows]))
        )
    everything = np.arange(len(score))
    found = []
    for name, statistic in wanted:
        try:
            value = statistic(everything)
            low, high = bootstrap(statistic, len(score), resamples=resamples)
        except ValueError:
            continue  # a network that is always right tells nothing
        found.append(metric_of(PREFIX + name, Figure(value, low, high, len(score)), photos, split, digits=4))
    return found


def peer_differences(
    score: Floats, peers: Sequence[Floats], wrong: Flags, *, resamples: int = RESAMPLES
) -> list[tuple[float, tuple[float, float]]]:
    """Of each peer (n,): how much more AUROC `score` has, with the interval of the paired difference."""
    everything = np.arange(len(score))
    found = []
    for peer in peers:

        def gain(rows: NDArray[np.int64], peer: Floats = peer) -> float:
            return mean_auroc(score[rows], wrong[:, rows]) - mean_auroc(peer[rows], wrong[:, rows])

        found.append((gain(everything), bootstrap(gain, len(score), resamples=resamples)))
    return found
