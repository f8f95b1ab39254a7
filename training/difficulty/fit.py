"""The difficulty score: a logistic regression of reference networks' mistakes on the signals of held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression
from sklearn.linear_model import LogisticRegression, Ridge

from phototriage.difficulty import predictor
from phototriage.difficulty.config import DifficultyConfig, Formula, ReferenceNetworks, SignalWeight
from phototriage.difficulty.depths import DepthMap
from phototriage.difficulty.predictor import Difficulty
from phototriage.difficulty.signals import SIGNALS, Floats, LatentMap, SignalInputs, log_odds, signals
from training.answers.formulas import Answering
from training.sources.files import DataError
from training.statistics.mistakes import auroc, mean_auroc

DIGITS = 6
SMALLEST_DEVIATION = 1e-6
STRENGTH = 1.0  # of scikit-learn's C: the weight of the images against the prior that all weights are small
RIDGE = 10.0  # scikit-learn's alpha
SUREST = 0.01  # no probability that networks give, and none that is said of them, is taken to be nearer to 0 or 1
# The classifier's own mistakes are too few to be fitted to, and what reference networks get wrong says little of them.
# But the weight of its own doubt may be raised at hardly any cost: by as much as tells its own mistakes best.
DOUBT = "doubt"
BOOSTS = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0)
COST = 0.025  # of AUROC
ENOUGH = 5  # own mistakes
GROUPS, LEAST_GROUP = 10, 20  # of the calibration, and images in each
STEP = 0.02  # log-odds, at least, from group to group
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class FittedOn:
    """Which images the score was fitted on, and with what."""

    autoencoder: str
    autoencoder_version: str
    reference: ReferenceNetworks
    data: str
    sha256: str
    group_by: str | None


@dataclass(frozen=True)
class HeldOut:
    """The images that a score is fitted on: what the models gave for them, their labels (n,), the mistakes (S, n) of
    reference networks that haven't seen them, and a fold (n,) for each, in which near-identical ones are together."""

    seen: SignalInputs
    labels: NDArray[np.int64]
    wrong: Flags
    folds: NDArray[np.int64]

    @property
    def own(self) -> Flags:
        """(n,): the classifier's own mistakes."""
        found: Flags = self.seen.logits.argmax(1) != self.labels
        return found


def fit_latent_map(latent: NDArray[np.float32], labels: NDArray[np.int64], answers: NDArray[np.float32]) -> LatentMap:
    """From latents (n, D) of train images, their labels (n,) and the probabilities (S, n, K) that reference networks
    gave them without having seen them. Centres are of the images that most of these got right, or of all of a class
    where they got none."""
    trusted = (answers.argmax(-1) != labels).mean(0) < 0.5
    centres = []
    for label in range(answers.shape[-1]):
        own = labels == label
        centres.append(latent[own & trusted if (own & trusted).any() else own].mean(0))
    lean = np.log(np.maximum(answers.astype(np.float64), SUREST)).mean(0)
    ridge = Ridge(alpha=RIDGE).fit(log_odds(latent.astype(np.float64)), lean)
    readout = np.vstack([ridge.intercept_, ridge.coef_.T])
    return LatentMap(np.stack(centres).astype(np.float32), readout.astype(np.float32))


def weigh(values: Mapping[str, Floats], wrong: Flags, boost: float = 0.0) -> Formula:
    """From signals (n,) and mistakes (S, n) of S networks; the weight of the classifier's doubt is raised by `boost`,
    and all is calibrated: what share of mistakes images of such a sum have."""
    if wrong.all() or not wrong.any():
        raise DataError(
            "The reference networks are right, or wrong, about every single image: there is nothing to tell hard from "
            "easy by. Give more images, or fewer --reference-epochs."
        )
    scales = {name: (float(values[name].mean()), float(values[name].std())) for name in SIGNALS}
    scales = {name: (mean, max(deviation, SMALLEST_DEVIATION)) for name, (mean, deviation) in scales.items()}
    columns = np.stack([predictor.standardised(values[name], *scales[name]) for name in SIGNALS], axis=1)
    coefficients, intercept = _regress(columns, wrong)
    coefficients[SIGNALS.index(DOUBT)] += boost
    weights = {
        name: SignalWeight(mean=mean, deviation=deviation, weight=round(float(coefficients[place]), DIGITS))
        for place, (name, (mean, deviation)) in enumerate(scales.items())
    }
    constant = round(intercept, DIGITS)
    return Formula(weights=weights, intercept=constant, knots=calibrate(columns @ coefficients + constant, wrong))


def _regress(columns: Floats, wrong: Flags) -> tuple[Floats, float]:
    """Logistic regression of mistakes (S, n) on columns (n, F): coefficients (F,) and the intercept."""
    # An image that a share of the networks miss is a mistake of that weight, and no mistake of the rest.
    share = wrong.mean(0)
    rows, truth = np.concatenate([columns, columns]), np.repeat([1, 0], len(share))
    weight = np.concatenate([share, 1 - share]) * len(wrong)
    model = LogisticRegression(C=STRENGTH, max_iter=2000).fit(rows, truth, sample_weight=weight)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def calibrate(sums: Floats, wrong: Flags) -> tuple[tuple[float, float], ...]:
    """Knots of a `Formula`: sums (n,) in equally large groups, each with its share of mistakes (S, n), made ascending
    by isotonic regression. Too few images have none."""
    count = min(GROUPS, len(sums) // LEAST_GROUP)
    if count < 2:
        return ()
    groups = np.array_split(np.argsort(sums, kind="stable"), count)
    places = np.array([sums[group].mean() for group in groups])
    shares = isotonic_regression([wrong[:, group].mean() for group in groups], y_min=SUREST, y_max=1 - SUREST)
    odds = np.log(shares / (1 - shares))
    knots: list[tuple[float, float]] = []
    for place, value in zip(places, odds, strict=True):
        least = knots[-1][1] + STEP if knots else -np.inf  # groups of one share still have an order
        knot = round(float(place), DIGITS), round(float(max(value, least)), DIGITS)
        if not knots or knot[0] > knots[-1][0]:
            knots.append(knot)
    return tuple(knots)


def choose_boost(found: Mapping[str, Floats], held_out: HeldOut) -> float:
    """Of BOOSTS the one that tells the classifier's own mistakes best, on other folds than it is fitted on, and that
    costs no more than COST of the AUROC of reference mistakes. 0 where it makes fewer than ENOUGH mistakes."""
    own = held_out.own
    if own.sum() < ENOUGH or own.all():
        return 0.0
    scores = {boost: out_of_fold(found, held_out, boost) for boost in BOOSTS}
    least = mean_auroc(scores[0.0], held_out.wrong) - COST
    allowed = [boost for boost in BOOSTS if mean_auroc(scores[boost], held_out.wrong) >= least]
    return max(allowed, key=lambda boost: auroc(scores[boost], own))


def out_of_fold(found: Mapping[str, Floats], held_out: HeldOut, boost: float) -> Floats:
    """(n,) scores of images by the regression on the other folds: what can be reported of the images fitted on."""
    scores = np.full(len(held_out.folds), np.nan)
    for fold in np.unique(held_out.folds):
        held = held_out.folds == fold
        rest = {name: values[~held] for name, values in found.items()}
        formula = weigh(rest, held_out.wrong[:, ~held], boost)
        scores[held] = predictor.score(formula, {name: values[held] for name, values in found.items()})
    return scores


def fit(
    held_out: HeldOut,
    latent_map: LatentMap,
    workload: float,
    fitted_on: FittedOn,
    answering: Answering | None = None,
) -> tuple[Difficulty, Floats]:
    """The score, and scores (n,) of the held-out images by regressions on the other folds, of reference mistakes.
    answering: where the score is to go by answers.

    Raises DataError where reference networks make no mistakes, or only such.
    """
    found = signals(held_out.seen, latent_map)
    boost = choose_boost(found, held_out)
    formula = weigh(found, held_out.wrong, boost)
    rule = DifficultyConfig(
        autoencoder=fitted_on.autoencoder,
        autoencoder_version=fitted_on.autoencoder_version,
        formula=formula,
        doubt_boost=boost,
        review_from=0,
        workload=workload,
        reference=fitted_on.reference,
        data=fitted_on.data,
        sha256=fitted_on.sha256,
        group_by=fitted_on.group_by,
        images=len(held_out.labels),
        answers=None if answering is None else answering.answers,
    )
    scored = scaled(rule, held_out.seen, held_out.labels, latent_map, None if answering is None else answering.depths)
    return scored, out_of_fold(found, held_out, boost)


def scaled(
    rule: DifficultyConfig,
    seen: SignalInputs,
    labels: NDArray[np.int64],
    latent_map: LatentMap | None,
    depths: DepthMap | None,
) -> Difficulty:
    """The score by `rule`, with its scales and its threshold of review, from held-out images and their labels (n,)."""
    unscaled = Difficulty(rule, latent_map, {}, depths)
    hardest = float(np.quantile(unscaled.scores(unscaled.signals(seen)), 1 - rule.workload))
    rule = rule.model_copy(update={"review_from": round(hardest, DIGITS)})
    return predictor.fit_scales(rule, seen, latent_map, [int(label) for label in labels], depths)
