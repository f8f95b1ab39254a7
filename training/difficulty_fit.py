"""The difficulty score: a logistic regression of reference networks' mistakes on the signals of held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from phototriage import difficulty
from phototriage.difficulty import Difficulty
from phototriage.difficulty_rule import DifficultyRule, ReferenceNetworks, SignalWeight
from phototriage.signals import SIGNALS, Floats, Seen, signals
from training.files import DataError

DIGITS = 6
SMALLEST_DEVIATION = 1e-6
STRENGTH = 1.0  # of scikit-learn's C: the weight of the images against the prior that all weights are small
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class FittedOn:
    """Which images the score was fitted on, and with what."""

    autoencoder: str
    autoencoder_version: str
    reference: ReferenceNetworks
    data: str
    sha256: str


def class_centres(latent: NDArray[np.float32], labels: NDArray[np.int64], trusted: Flags) -> NDArray[np.float32]:
    """(K, D): mean latent (n, D) of each class over its `trusted` (n,) images, or over all where it has none."""
    found = []
    for label in range(int(labels.max()) + 1):
        own = labels == label
        found.append(latent[own & trusted if (own & trusted).any() else own].mean(0))
    return np.stack(found).astype(np.float32)


def weigh(found: Mapping[str, Floats], wrong: Flags) -> tuple[dict[str, SignalWeight], float]:
    """Weights by signal and the intercept, from signals (n,) and mistakes (S, n) of S networks."""
    if wrong.all() or not wrong.any():
        raise DataError(
            "The reference networks are right, or wrong, about every single image: there is nothing to tell hard from "
            "easy by. Give more images, or fewer --reference-epochs."
        )
    scales = {name: (float(found[name].mean()), float(found[name].std())) for name in SIGNALS}
    scales = {name: (mean, max(deviation, SMALLEST_DEVIATION)) for name, (mean, deviation) in scales.items()}
    columns = np.stack([difficulty.standardised(found[name], *scales[name]) for name in SIGNALS], axis=1)
    # An image that a share of the networks miss is a mistake of that weight, and no mistake of the rest.
    share = wrong.mean(0)
    rows, truth = np.concatenate([columns, columns]), np.repeat([1, 0], len(share))
    weight = np.concatenate([share, 1 - share]) * len(wrong)
    model = LogisticRegression(C=STRENGTH, max_iter=2000).fit(rows, truth, sample_weight=weight)
    weights = {
        name: SignalWeight(mean=mean, deviation=deviation, weight=round(float(model.coef_[0, place]), DIGITS))
        for place, (name, (mean, deviation)) in enumerate(scales.items())
    }
    return weights, round(float(model.intercept_[0]), DIGITS)


def fit(
    seen: Seen,
    labels: NDArray[np.int64],
    centres: NDArray[np.float32],
    wrong: Flags,
    workload: float,
    fitted_on: FittedOn,
) -> Difficulty:
    """From n held-out images and the mistakes (S, n) on them. Raises DataError where there are none, or only such."""
    found = signals(seen, centres)
    weights, intercept = weigh(found, wrong)
    rule = DifficultyRule(
        autoencoder=fitted_on.autoencoder,
        autoencoder_version=fitted_on.autoencoder_version,
        weights=weights,
        intercept=intercept,
        review_from=1,
        workload=workload,
        reference=fitted_on.reference,
        data=fitted_on.data,
        sha256=fitted_on.sha256,
        images=len(labels),
    )
    hardest = float(np.quantile(difficulty.score(weights, intercept, found), 1 - workload))
    rule = rule.model_copy(update={"review_from": round(hardest, DIGITS)})
    return difficulty.fit_scales(rule, seen, centres, [int(label) for label in labels])


def out_of_fold(found: Mapping[str, Floats], wrong: Flags, folds: NDArray[np.int64]) -> Floats:
    """(n,) scores of images by the regression on the other folds: what can be reported of the images fitted on."""
    scores = np.full(wrong.shape[1], np.nan)
    for fold in np.unique(folds):
        held = folds == fold
        weights, intercept = weigh({name: values[~held] for name, values in found.items()}, wrong[:, ~held])
        scores[held] = difficulty.score(weights, intercept, {name: values[held] for name, values in found.items()})
    return scores
