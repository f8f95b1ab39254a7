"""How well a score tells which images a classifier gets wrong, and how well it could at best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
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


def auroc(score: Floats, wrong: Flags) -> float:
    """Of a score (n,) for mistakes (n,). Raises ValueError where all or none are wrong."""
    if wrong.all() or not wrong.any():
        raise ValueError("a network that is always or never wrong tells nothing of difficulty")
    return float(roc_auc_score(wrong, score))


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
    """(AUROC − .5) / (ceiling − .5): 0 for a score that says nothing, 1 for one as good as other networks."""
    return (mean_auroc(score, wrong) - CHANCE) / (ceiling(wrong) - CHANCE)


def brier_skill(probability: Floats, wrong: Flags) -> float:
    """1 less the mean squared error over that of the base rate, over all networks of `wrong` (S, n)."""
    truth = wrong.astype(np.float64)
    own = float(((probability - truth) ** 2).mean())
    base = float(((truth.mean() - truth) ** 2).mean())
    return 1 - own / base


def lift(score: Floats, wrong: Flags, workload: float = 0.1) -> float:
    """The share of mistakes among the `workload` of images that the score calls hardest, over their share among all;
    the first of equal ones."""
    hardest = np.argsort(-score, kind="stable")[: max(1, round(workload * len(score)))]
    return float(wrong[:, hardest].mean() / wrong.mean())
