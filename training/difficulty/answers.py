"""Fitting three answers about an image: is the classifier wrong, would good models be, is it none of the classes?

The first two share one direction, fitted to the mistakes of the classifier and of judges together, since a good
classifier alone makes too few. Each then is calibrated by its own mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from phototriage.difficulty import predictor
from phototriage.difficulty.config import Answers, Formula, SignalWeight
from phototriage.difficulty.depths import DepthMap
from phototriage.difficulty.signals import Floats
from phototriage.runtime.feature_tensors import FeatureTensors
from training.difficulty.monotone import regress

DOUBTS = ("small_margin", "inner_contradiction", "last_beyond")
STRANGE = ("last_outside", "last_beyond", "inner_beyond")
FOREIGN_SHARE = 0.05  # of the images that come, by default
DIGITS = 6
SMALLEST_DEVIATION = 1e-6
ENOUGH = 10  # mistakes, to learn a slope from
Flags = NDArray[np.bool_]


class Evidence(NamedTuple):
    """Of n held-out images: signals (n,) by name, the classifier's mistakes `own` (n,), those of judges (S, n); and the
    signals (m,) of foreign images."""

    values: Mapping[str, Floats]
    own: Flags
    judged: Flags
    foreign: Mapping[str, Floats]


class Answering(NamedTuple):
    """What gives answers."""

    depths: DepthMap
    answers: Answers


def fit_answers(evidence: Evidence, tensors: FeatureTensors, foreign_share: float = FOREIGN_SHARE) -> Answers:
    """Raises ValueError where neither the classifier nor the judges make a mistake."""
    own, hard = evidence.own.astype(np.float64), evidence.judged.mean(0)
    if not own.any() and not hard.any():
        raise ValueError("neither the classifier nor other models err about a held-out image")
    scales, columns = _standardised(evidence.values, DOUBTS)
    direction, _ = regress(columns, (own + hard) / 2)
    sums = columns @ direction
    error, hardness = (_formula(DOUBTS, scales, direction, *_calibrated(sums, target)) for target in (own, hard))
    return Answers(
        inner=tensors.inner,
        last=tensors.last,
        error=error,
        hard=hardness,
        foreign=_fit_foreign(evidence, foreign_share),
        mistakes=int(own.sum()),
        judges=len(evidence.judged),
        hard_share=round(float(hard.mean()), 5),
        foreign_images=len(next(iter(evidence.foreign.values()))),
        foreign_share=foreign_share,
    )


def _calibrated(sums: Floats, target: Floats) -> tuple[float, float]:
    """Slope and constant by which `sums` (n,) are log-odds of `target` (n,). Shares are drawn half an image towards the
    middle (Platt, 1999), so that none is certain; of fewer mistakes than ENOUGH only the constant is learned."""
    true, false = target.sum(), (1 - target).sum()
    if true < ENOUGH:
        share = (true + 0.5) / (len(target) + 1)
        return 1.0, float(
            brentq(lambda constant: (1 / (1 + np.exp(np.clip(-sums - constant, -700, 700)))).mean() - share, -1e3, 1e3)
        )
    softened = target * (true + 0.5) / (true + 1) + (1 - target) * 0.5 / (false + 1)
    slopes, constant = regress(sums[:, np.newaxis], softened)
    return float(slopes[0]), constant


def _fit_foreign(evidence: Evidence, foreign_share: float) -> Formula:
    scales, known = _standardised(evidence.values, STRANGE)
    strange = _columns(evidence.foreign, STRANGE, scales)
    total = len(known) + len(strange)
    weight = [np.full(len(known), total * (1 - foreign_share) / len(known))]
    weight.append(np.full(len(strange), total * foreign_share / len(strange)))
    share = np.repeat([0.0, 1.0], [len(known), len(strange)])
    weights, constant = regress(np.concatenate([known, strange]), share, np.concatenate(weight))
    return _formula(STRANGE, scales, weights, 1.0, constant)


Scales = Mapping[str, tuple[float, float]]


def _standardised(values: Mapping[str, Floats], names: tuple[str, ...]) -> tuple[Scales, Floats]:
    """Each signal's mean and deviation, and columns (n, F) by them."""
    scales = {name: (float(values[name].mean()), max(float(values[name].std()), SMALLEST_DEVIATION)) for name in names}
    return scales, _columns(values, names, scales)


def _columns(values: Mapping[str, Floats], names: tuple[str, ...], scales: Scales) -> Floats:
    return np.stack([predictor.standardised(values[name], *scales[name]) for name in names], axis=1)


def _formula(names: tuple[str, ...], scales: Scales, weights: Floats, slope: float, constant: float) -> Formula:
    parts = {
        name: SignalWeight(mean=scales[name][0], deviation=scales[name][1], weight=round(float(weight) * slope, DIGITS))
        for name, weight in zip(names, weights, strict=True)
    }
    return Formula(weights=parts, intercept=round(constant, DIGITS))
