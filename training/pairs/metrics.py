"""How well similarities tell reposts from other photos: F1, precision and recall, average precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]


class Counts(NamedTuple):
    """Of the pairs at or above a threshold: right and wrong ones; and the duplicates below it."""

    hits: int
    false_alarms: int
    misses: int

    @property
    def precision(self) -> float:
        called = self.hits + self.false_alarms
        return self.hits / called if called else 1.0

    @property
    def recall(self) -> float:
        same = self.hits + self.misses
        return self.hits / same if same else 1.0

    @property
    def f1(self) -> float:
        total = 2 * self.hits + self.false_alarms + self.misses
        return 2 * self.hits / total if total else 1.0


def counts_at(similarities: Floats, same: Bools, threshold: float) -> Counts:
    """Pairs as similar as the threshold are called duplicates."""
    called = similarities >= threshold
    return Counts(int((called & same).sum()), int((called & ~same).sum()), int((~called & same).sum()))


def best_threshold(similarities: Floats, same: Bools, precision: float | None = None) -> float:
    """The threshold of the best F1 or, given a precision, of the best recall at no less than that precision.

    Half-way between the two similarities that it parts. Where no threshold reaches the precision, the one of the
    greatest precision. Raises ValueError where there is only one class.
    """
    if same.all() or not same.any():
        raise ValueError("pairs of one class give no threshold")
    order = np.argsort(-similarities, kind="stable")
    ranked, truth = similarities[order], same[order]
    hits = np.cumsum(truth)
    called = np.arange(1, len(truth) + 1)
    # A threshold can't part equal similarities.
    ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    hits, called = hits[ends], called[ends]
    precisions, f1 = hits / called, 2 * hits / (called + same.sum())
    if precision is None:
        best = int(np.argmax(f1))
    elif (precisions >= precision).any():
        best = int(np.flatnonzero(precisions >= precision)[np.argmax(hits[precisions >= precision])])
    else:
        best = int(np.argmax(precisions))
    last = ends[best]
    below = ranked[last + 1] if last + 1 < len(ranked) else ranked[last]
    return float((ranked[last] + below) / 2)


def best_f1(similarities: Floats, same: Bools) -> float:
    """At the threshold that is best."""
    return counts_at(similarities, same, best_threshold(similarities, same)).f1


def average_precision(similarities: Floats, same: Bools) -> float:
    return float(average_precision_score(same, similarities))


def recall_at_precision(similarities: Floats, same: Bools, precision: float) -> float:
    """The greatest recall of a threshold with at least that precision; 0 if none has it."""
    found = counts_at(similarities, same, best_threshold(similarities, same, precision))
    return found.recall if found.precision >= precision else 0.0
