"""From labelled similarities to a decision: the threshold, a calibrated probability, and how good both are on photos
that did not choose them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from phototriage.common.errors import PhototriageError
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.model_folder.manifest import Decision, Measured, Tuning
from training.data.splits import share
from training.pairs.metrics import best_threshold, counts_at
from training.statistics.intervals import wilson

FOLDS = 5
RESAMPLES = 1000


class TuningError(PhototriageError):
    """Pairs from which no threshold can be learned, or none that could be trusted."""

    code = "tuning"
    title = "The pairs can't be used"


def parse_aim(aim: str) -> float | None:
    """`f1` → None, `precision=0.99` → 0.99. Raises TuningError for anything else."""
    if aim == "f1":
        return None
    name, _, value = aim.partition("=")
    try:
        precision = float(value)
    except ValueError:
        precision = -1.0
    if name != "precision" or not 0 < precision <= 1:
        raise TuningError(f"The aim is {aim!r}; it is f1, or precision=P with P above 0 and at most 1.")
    return precision


def choose_folds(groups: Sequence[tuple[str, str]], same: NDArray[np.bool_], most: int = FOLDS) -> NDArray[np.int64]:
    """(n, 2) int64: the fold of either side's photo group, by its hash; as many folds as leave each other pairs of
    both classes, but no more than `most`.

    Raises TuningError where not even two do.
    """
    for count in range(most, 1, -1):
        folds = np.array([[int(share(name, f"fold of {count}") * count) for name in pair] for pair in groups])
        within = same[folds[:, 0] == folds[:, 1]]
        parts = [within, *(same[(folds != fold).all(1)] for fold in np.unique(folds))]
        if all(part.any() and not part.all() for part in parts):
            return folds
    photos = len({name for pair in groups for name in pair})
    raise TuningError(
        f"{len(groups):,} pairs of {photos:,} different photos can't be parted into two folds that each have pairs of "
        "both classes, so no threshold could be trusted. Give more photos: about ten to validate on are enough."
    )


def tune(
    similarities: NDArray[np.float64],
    same: NDArray[np.bool_],
    folds: NDArray[np.int64],
    aim: str,
    *,
    data: str,
    sha256: str,
    layout_rescoring: LayoutRescoring | None = None,
) -> Decision:
    """The decision for pairs with these similarities (n,), which layout re-scoring is part of if there is one.

    folds (n, 2): the fold of either side's photo group. The threshold of a fold is chosen on the pairs that have no
    photo in it, and is held against those that have both in it; pairs between two folds only help to choose. The
    threshold that is kept is chosen on all pairs. Raises TuningError where a fold has pairs of one class only.
    """
    precision = parse_aim(aim)
    if same.all() or not same.any():
        raise TuningError(
            f"All {len(same):,} pairs are of one class, is_same = {int(same.all())}; a threshold needs both. Add pairs."
        )
    thresholds, held = [], []
    for fold in np.unique(folds):
        inside, outside = (folds == fold).all(1), (folds != fold).all(1)
        _both_classes(same[outside], f"outside fold {fold}")
        if inside.any():
            thresholds.append(best_threshold(similarities[outside], same[outside], precision))
            held.append(np.flatnonzero(inside))
    called = np.concatenate([similarities[rows] >= limit for rows, limit in zip(held, thresholds, strict=True)])
    truth = same[np.concatenate(held)]
    _both_classes(truth, "within folds")
    model = LogisticRegression(C=1e4).fit(similarities[:, None], same)
    if model.coef_[0, 0] <= 0:
        raise TuningError(
            f"Of {len(same):,} pairs those of one photo are no more alike than the others, by this model: no threshold "
            "tells them apart. Look at the labels, or train longer, on more photos."
        )
    return Decision(
        threshold=round(best_threshold(similarities, same, precision), 5),
        slope=round(float(model.coef_[0, 0]), 4),
        intercept=round(float(model.intercept_[0]), 4),
        prior=round(float(same.mean()), 5),
        layout_rescoring=layout_rescoring,
        tuning=Tuning(
            data=data,
            sha256=sha256,
            pairs=len(same),
            duplicates=int(same.sum()),
            folds=len(held),
            aim=aim,
            **_figures(called, truth),
        ),
    )


def _both_classes(same: NDArray[np.bool_], where: str) -> None:
    if same.all() or not same.any():
        raise TuningError(
            f"The pairs {where} are {len(same):,} of one class: more photos are needed, or fewer folds, so that each "
            "fold has pairs of both classes."
        )


def _figures(called: NDArray[np.bool_], same: NDArray[np.bool_]) -> dict[str, Measured]:
    """Precision, recall and F1 with 95 % intervals: Wilson's, and for F1 by resampling pairs."""
    found = counts_at(called.astype(float), same, 0.5)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(same), (RESAMPLES, len(same)))
    scores = [counts_at(called[drawn].astype(float), same[drawn], 0.5).f1 for drawn in rows]
    low, high = np.quantile(scores, [0.025, 0.975])
    return {
        "precision": _figure(found.precision, wilson(found.hits, max(found.hits + found.false_alarms, 1))),
        "recall": _figure(found.recall, wilson(found.hits, found.hits + found.misses)),
        "f1": _figure(found.f1, (float(low), float(high))),
    }


def _figure(value: float, interval: tuple[float, float]) -> Measured:
    return Measured(value=round(value, 5), interval=(round(interval[0], 5), round(interval[1], 5)))
