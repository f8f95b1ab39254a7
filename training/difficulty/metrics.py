"""What reference networks get wrong, how well a score tells it, and how well it could at best."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from phototriage.difficulty.config import METRIC_PREFIX
from phototriage.model_folder.manifest import Metric
from training.loop.evaluation import metric_of
from training.statistics.intervals import Figure
from training.statistics.mistakes import RESAMPLES, Flags, Floats, auroc, bootstrap, brier_skill, lift, mean_auroc

CHANCE = 0.5


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
        found.append(metric_of(METRIC_PREFIX + name, Figure(value, low, high, len(score)), photos, split, digits=4))
    return found
