"""Fitting three answers about an image: is the classifier wrong, would good models be, is it none of the classes?

A good classifier makes too few mistakes about held-out images to learn from. So what points at its mistakes is learned
from those of its replicas too, about images that these haven't seen. `p_error` then is calibrated by the classifier's
own mistakes, `p_hard` by those of the judges about held-out images and about the replicas'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from phototriage.difficulty import predictor
from phototriage.difficulty.config import Answers, Formula, SignalWeight
from phototriage.difficulty.depths import DepthMap
from phototriage.difficulty.signals import Floats
from phototriage.runtime.feature_tensors import FeatureTensors
from training.answers.monotone import regress

DOUBTS = ("small_margin", "inner_contradiction", "last_beyond")
STRANGE = ("last_outside", "last_beyond", "inner_beyond")
FOREIGN_SHARE = 0.05  # of the images that come, by default
DIGITS = 6
SMALLEST_DEVIATION = 1e-6
ENOUGH = 30  # mistakes, to learn weights from
SLOPE_DEVIATION = 0.5  # of the prior
Flags = NDArray[np.bool_]


class ReplicaEvidence(NamedTuple):
    """Of n images that a replica hasn't seen: its signals (n,) by name, its mistakes `wrong` (n,), and the share of
    judges that are wrong (n,), NaN where none was asked."""

    values: Mapping[str, Floats]
    wrong: Flags
    hardness: Floats


class Evidence(NamedTuple):
    """Of n held-out images: signals (n,) by name, the classifier's mistakes `own` (n,), those of judges (S, n); the
    signals (m,) of foreign images; and what replicas of the classifier have found."""

    values: Mapping[str, Floats]
    own: Flags
    judged: Flags
    foreign: Mapping[str, Floats]
    replicas: Sequence[ReplicaEvidence] = ()

    @property
    def hardness(self) -> Floats:
        """(n,): the share of judges that are wrong; 0 where there are none."""
        share: Floats = self.judged.mean(0) if len(self.judged) else np.zeros(len(self.own))
        return share


class Answering(NamedTuple):
    """What gives answers."""

    depths: DepthMap
    answers: Answers


def fit_answers(evidence: Evidence, tensors: FeatureTensors, foreign_share: float = FOREIGN_SHARE) -> Answers:
    """Where nobody makes a mistake, each signal counts alike."""
    own = evidence.own.astype(np.float64)
    scales, columns = _standardised(evidence.values, DOUBTS)
    of_error, of_hard = _directions(evidence, columns)
    asked, share = _hardness(evidence, columns) if len(evidence.judged) else (columns, own)
    error = _formula(DOUBTS, scales, of_error, *_calibrated(columns @ of_error, own))
    hardness = _formula(DOUBTS, scales, of_hard, *_calibrated(asked @ of_hard, share))
    return Answers(
        inner=tensors.inner,
        last=tensors.last,
        error=error,
        hard=hardness,
        foreign=fit_foreign(evidence, foreign_share),
        mistakes=int(own.sum()),
        replica_mistakes=sum(int(replica.wrong.sum()) for replica in evidence.replicas),
        judges=len(evidence.judged),
        hard_share=round(float(evidence.hardness.mean()), 5),
        foreign_images=len(next(iter(evidence.foreign.values()))),
        foreign_share=foreign_share,
    )


def _directions(evidence: Evidence, columns: Floats) -> tuple[Floats, Floats]:
    """Weights (F,) of the columns (n, F) that point at the classifier's mistakes, and at the judges'. Where one of them
    made too few to learn from, both point at the mistakes of both."""
    own = evidence.own.astype(np.float64)
    asked, hard = _hardness(evidence, columns)
    replicas = [(columns_of(each.values, DOUBTS), each.wrong.astype(np.float64)) for each in evidence.replicas]
    seen = np.concatenate([columns, *(values for values, _ in replicas)])
    wrong = np.concatenate([own, *(mistakes for _, mistakes in replicas)])
    if not len(evidence.judged) and wrong.any():
        alone = regress(seen, wrong)[0]
        return alone, alone
    if min(wrong.sum(), hard.sum()) >= ENOUGH:
        return regress(seen, wrong)[0], regress(asked, hard)[0]
    if not wrong.any() and not hard.any():
        alike = np.ones(columns.shape[1])
        return alike, alike
    both = regress(np.concatenate([seen, asked]), np.concatenate([wrong, hard]))[0]
    return both, both


def _hardness(evidence: Evidence, columns: Floats) -> tuple[Floats, Floats]:
    """Columns (n, F) of all images that judges were asked about, and the share of these that are wrong (n,): held-out
    images, `columns`, and those of replicas, which are many more."""
    parts = [(columns, evidence.hardness)]
    for replica in evidence.replicas:
        asked = ~np.isnan(replica.hardness)
        parts.append((columns_of(replica.values, DOUBTS)[asked], replica.hardness[asked]))
    return np.concatenate([part for part, _ in parts]), np.concatenate([share for _, share in parts])


def _calibrated(sums: Floats, target: Floats) -> tuple[float, float]:
    """Slope and constant by which `sums` (n,) are log-odds of `target` (n,). They are log-odds of somebody's mistakes,
    so the slope is 1 but for what `target` tells: by a normal prior. Shares are drawn half an image towards the middle
    (Platt, 1999), so that none is certain."""
    true, false = target.sum(), (1 - target).sum()
    softened = target * (true + 0.5) / (true + 1) + (1 - target) * 0.5 / (false + 1)

    def loss(parameters: Floats) -> float:
        log_odds = parameters[0] * sums + parameters[1]
        prior = ((parameters[0] - 1) / SLOPE_DEVIATION) ** 2 / 2
        return float((np.logaddexp(0, log_odds) - softened * log_odds).sum() + prior)

    slope, constant = minimize(loss, [1.0, 0.0], bounds=[(0, None), (None, None)], method="L-BFGS-B").x
    return float(slope), float(constant)


def fit_foreign(evidence: Evidence, foreign_share: float, names: tuple[str, ...] = STRANGE) -> Formula:
    """Of foreign images, as many as `foreign_share` says, among the held-out ones; by signals `names`."""
    scales, known = _standardised(evidence.values, names)
    strange = _columns(evidence.foreign, names, scales)
    total = len(known) + len(strange)
    weight = [np.full(len(known), total * (1 - foreign_share) / len(known))]
    weight.append(np.full(len(strange), total * foreign_share / len(strange)))
    share = np.repeat([0.0, 1.0], [len(known), len(strange)])
    weights, constant = regress(np.concatenate([known, strange]), share, np.concatenate(weight))
    return _formula(names, scales, weights, 1.0, constant)


Scales = Mapping[str, tuple[float, float]]


def _standardised(values: Mapping[str, Floats], names: tuple[str, ...]) -> tuple[Scales, Floats]:
    """Each signal's mean and deviation, and columns (n, F) by them."""
    scales = {name: (float(values[name].mean()), max(float(values[name].std()), SMALLEST_DEVIATION)) for name in names}
    return scales, _columns(values, names, scales)


def columns_of(values: Mapping[str, Floats], names: tuple[str, ...]) -> Floats:
    """(n, F): signals by their own means and deviations."""
    return _standardised(values, names)[1]


def _columns(values: Mapping[str, Floats], names: tuple[str, ...], scales: Scales) -> Floats:
    return np.stack([predictor.standardised(values[name], *scales[name]) for name in names], axis=1)


def _formula(names: tuple[str, ...], scales: Scales, weights: Floats, slope: float, constant: float) -> Formula:
    parts = {
        name: SignalWeight(mean=scales[name][0], deviation=scales[name][1], weight=round(float(weight) * slope, DIGITS))
        for name, weight in zip(names, weights, strict=True)
    }
    return Formula(weights=parts, intercept=round(constant, DIGITS))
