"""The difficulty predictor: from signals to a score, its percentile among held-out images, and reasons. NumPy only."""

from __future__ import annotations

import zipfile
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import ModelFolderError
from phototriage.difficulty.config import FILE_NAME, MAX_DEVIATIONS, OUTER_SLOPE, DifficultyConfig, Formula
from phototriage.difficulty.depths import DEPTH_KINDS, DEPTH_SIGNALS, DepthMap, depth_signals
from phototriage.difficulty.signals import (
    AUTOENCODED,
    KINDS,
    SIGNALS,
    Floats,
    Kind,
    LatentMap,
    SignalInputs,
    signals,
    softmax,
)

ReasonKind = Literal["ambiguous", "unusual", "low_quality", "likely_mislabelled"]

REASON_FROM = 90.0  # the percentile from which on a kind of reason is given
STEPS = 501  # quantiles of a scale
SCORE: Final = "score"
MISLABELLED: Final = "likely_mislabelled"
SCALES = (SCORE, MISLABELLED, *KINDS)  # beside those of signals


@dataclass(frozen=True)
class Reason:
    """Why an image is hard. `value` is that of `signal`, the strongest of its kind; `percentile` is the kind's."""

    kind: ReasonKind
    signal: str
    value: float
    percentile: float


@dataclass(frozen=True)
class AnswerProbabilities:
    """That the classifier is wrong about an image, that good models of other features are, and that it is none of the
    classes."""

    p_error: float
    p_hard: float
    p_foreign: float


@dataclass(frozen=True)
class DifficultyPrediction:
    """The prediction for one image. kinds: the percentile of each kind of reason, also of those that are not given."""

    score: float
    percentile: float
    review: bool
    reasons: list[Reason]
    components: dict[str, float]
    kinds: dict[ReasonKind, float]
    label_doubt: float | None  # the probability of all labels but the caller's
    answers: AnswerProbabilities | None = None


@dataclass(frozen=True)
class Difficulty:
    """A fitted difficulty predictor. scales: STEPS ascending quantiles, among held-out images, of the score, of each
    signal and of each kind of reason, float32 (STEPS,). latent_map: where the config has an autoencoder. depths: where
    it has answers."""

    config: DifficultyConfig
    latent_map: LatentMap | None
    scales: Mapping[str, NDArray[np.float32]]
    depths: DepthMap | None = None

    def predict(self, inputs: SignalInputs, labels: Sequence[int | None] | None = None) -> list[DifficultyPrediction]:
        """The predictions for N images. labels: the caller's, as indices of classes; None where there is none."""
        values = self.signals(inputs)
        answers = self._answers(values)
        scores = self.scores(values)
        percentiles = {name: self.percentile(name, found) for name, found in values.items()}
        kinds = {kind: self.percentile(kind, strongest(percentiles, kind)) for kind in KINDS}
        score_percentiles = self.percentile(SCORE, scores)
        doubts = doubt_of_labels(inputs.logits, labels)
        doubt_percentiles = self.percentile(MISLABELLED, doubts)
        predictions = []
        for row in range(len(scores)):
            components = {name: float(found[row]) for name, found in values.items()}
            by_kind: dict[ReasonKind, float] = {kind: float(kinds[kind][row]) for kind in KINDS}
            reasons = []
            for kind in KINDS:
                if by_kind[kind] >= REASON_FROM:
                    signal = max(_signals_of(kind, percentiles), key=lambda name: float(percentiles[name][row]))
                    reasons.append(Reason(kind, signal, components[signal], by_kind[kind]))
            has_label = bool(np.isfinite(doubts[row]))
            if has_label:
                by_kind[MISLABELLED] = float(doubt_percentiles[row])
                label = None if labels is None else labels[row]
                if label != int(inputs.logits[row].argmax()):
                    doubt, percentile = float(doubts[row]), by_kind[MISLABELLED]
                    reasons.append(Reason(MISLABELLED, "probability_of_other_labels", doubt, percentile))
            predictions.append(
                DifficultyPrediction(
                    score=float(scores[row]),
                    percentile=float(score_percentiles[row]),
                    review=bool(scores[row] >= self.config.review_from),
                    reasons=sorted(reasons, key=lambda reason: -reason.percentile),
                    components=components,
                    kinds=by_kind,
                    label_doubt=float(doubts[row]) if has_label else None,
                    answers=None if answers is None else AnswerProbabilities(*(float(each[row]) for each in answers)),
                )
            )
        return predictions

    @property
    def signal_names(self) -> tuple[str, ...]:
        """Of the signals that it goes by, or that are reasons."""
        return signal_names(self.config)

    def signals(self, inputs: SignalInputs) -> dict[str, Floats]:
        """Each signal (N,) by name; of features too, where the config has answers. Raises ValueError where features are
        missing."""
        found = signals(inputs, self.latent_map)
        if self.depths is not None:
            if inputs.features is None:
                raise ValueError("answers by features need features")
            found |= depth_signals(inputs.features, inputs.logits.argmax(1), self.depths)
        return found

    def scores(self, values: Mapping[str, Floats]) -> Floats:
        """The scores (N,) of images with these signals (N,)."""
        answers = self._answers(values)
        if answers is None:
            if self._formula is None:
                raise ValueError("neither a formula nor answers: there is nothing to score by")
            return self._formula.score(values)
        error, _, foreign = answers
        scores: Floats = 1 - (1 - error) * (1 - foreign)
        return scores

    def _answers(self, values: Mapping[str, Floats]) -> tuple[Floats, Floats, Floats] | None:
        """Of an error, a hard image, a foreign one: probabilities (N,) each."""
        if self._answer_formulas is None:
            return None
        error, hard, foreign = (formula.score(values) for formula in self._answer_formulas)
        return error, hard, foreign

    def percentile(self, name: str, values: Floats) -> Floats:
        """The percentile (N,), 0 to 100, of each of `values` (N,) on the scale `name`; for ties the middle one. On a
        constant scale, of a signal that is the same for all held-out images, every percentile is 50."""
        scale = self._steps[name]
        if scale[0] == scale[-1]:
            return np.full(len(values), 50.0)
        rounded = values.astype(np.float32).tolist()  # the scale is float32 too
        twice_ranks = [bisect_left(scale, value) + bisect_right(scale, value) for value in rounded]
        return 50.0 * np.array(twice_ranks) / len(scale)

    @cached_property
    def _formula(self) -> CompiledFormula | None:
        return None if self.config.formula is None else CompiledFormula(self.config.formula)

    @cached_property
    def _answer_formulas(self) -> list[CompiledFormula] | None:
        answers = self.config.answers
        return (
            None
            if answers is None
            else [CompiledFormula(each) for each in (answers.error, answers.hard, answers.foreign)]
        )

    @cached_property
    def _steps(self) -> Mapping[str, list[float]]:
        """The scales as lists, in which a bisection is ten times as fast as in arrays."""
        return {name: scale.tolist() for name, scale in self.scales.items()}


class CompiledFormula:
    """A formula as arrays, for fast scores."""

    def __init__(self, formula: Formula) -> None:
        self._names = tuple(formula.weights)
        weights = formula.weights.values()
        self._means, self._deviations, self._factors = np.array([(w.mean, w.deviation, w.weight) for w in weights]).T
        self._intercept = formula.intercept
        self._knots = np.array(formula.knots, float).reshape(-1, 2).T

    def score(self, signals: Mapping[str, Floats]) -> Floats:
        """Probabilities (N,) from signals (N,) by name."""
        values = np.stack([signals[name] for name in self._names], axis=1)
        sums = self._intercept + standardised(values, self._means, self._deviations) @ self._factors
        probabilities: Floats = 1 / (1 + np.exp(-log_odds_of(self._knots, sums)))
        return probabilities


def signal_names(config: DifficultyConfig) -> tuple[str, ...]:
    """Of the signals that a difficulty has: with an autoencoder, with answers, or with both."""
    plain = [name for name in SIGNALS if config.autoencoder is not None or name not in AUTOENCODED]
    return (*plain, *(() if config.answers is None else DEPTH_SIGNALS))


def score(formula: Formula, values: Mapping[str, Floats]) -> Floats:
    """Probabilities (N,) from signals (N,) by name."""
    return CompiledFormula(formula).score(values)


def log_odds_of(knots: Floats, sums: Floats) -> Floats:
    """Log-odds (N,) of sums (N,), by `knots` (2, K): ascending sums and their log-odds. Without knots, the sums."""
    if not knots.size:
        return sums
    knot_sums, knot_log_odds = knots
    beyond = sums - np.clip(sums, knot_sums[0], knot_sums[-1])
    log_odds: Floats = np.interp(sums, knot_sums, knot_log_odds) + OUTER_SLOPE * beyond
    return log_odds


def standardised(values: Floats, mean: float | Floats, deviation: float | Floats) -> Floats:
    """In standard deviations from the mean, clipped to ±MAX_DEVIATIONS."""
    deviations: Floats = np.clip((values - mean) / deviation, -MAX_DEVIATIONS, MAX_DEVIATIONS)
    return deviations


def strongest(percentiles: Mapping[str, Floats], kind: Kind) -> Floats:
    """The greatest percentile (N,) of the kind's signals, from percentiles (N,) by signal."""
    greatest: Floats = np.max([percentiles[name] for name in _signals_of(kind, percentiles)], axis=0)
    return greatest


def _signals_of(kind: Kind, found: Mapping[str, Floats]) -> list[str]:
    """Those of the kind that were found."""
    return [name for name in (*KINDS[kind], *DEPTH_KINDS[kind]) if name in found]


def doubt_of_labels(logits: NDArray[np.floating], labels: Sequence[int | None] | None) -> Floats:
    """The probability (N,), by the classifier's logits (N, K), of all labels but the given one; NaN where none is
    given."""
    doubts = np.full(len(logits), np.nan)
    probabilities = softmax(logits)
    for row, label in enumerate(labels or []):
        if label is not None:
            doubts[row] = 1 - probabilities[row, label]
    return doubts


def fit_scales(
    config: DifficultyConfig,
    inputs: SignalInputs,
    latent_map: LatentMap | None,
    labels: Sequence[int],
    depths: DepthMap | None = None,
) -> Difficulty:
    """The predictor with the scales of held-out images, N of them, with their labels as indices of classes."""

    def scale(values: Floats) -> NDArray[np.float32]:
        return np.quantile(values, np.linspace(0, 1, STEPS)).astype(np.float32)

    unscaled = Difficulty(config, latent_map, {}, depths)
    values_by_signal = unscaled.signals(inputs)
    scales = {name: scale(values) for name, values in values_by_signal.items()}
    scales[SCORE] = scale(unscaled.scores(values_by_signal))
    scales[MISLABELLED] = scale(doubt_of_labels(inputs.logits, labels))
    unfinished = Difficulty(config, latent_map, scales, depths)
    percentiles = {name: unfinished.percentile(name, values) for name, values in values_by_signal.items()}
    scales |= {kind: scale(strongest(percentiles, kind)) for kind in KINDS}
    return Difficulty(config, latent_map, scales, depths)


def write(difficulty: Difficulty, folder: Path) -> Path:
    """Write `folder/difficulty.npz`: the latent map and the scales, under a temporary name and with a rename."""
    path = folder / FILE_NAME
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        maps = [each._asdict() for each in (difficulty.latent_map, difficulty.depths) if each is not None]
        arrays = dict(difficulty.scales)
        for each in maps:
            arrays |= each
        np.savez_compressed(file, allow_pickle=False, **arrays)
    temporary.replace(path)
    return path


def read(config: DifficultyConfig, folder: Path, classes: int, latent: int | None) -> Difficulty:
    """Read what `write` wrote. latent: the autoencoder's dimensions, if there is one. Raises ModelFolderError if the
    file is missing or damaged, or of another number of classes or latent dimensions."""
    try:
        with np.load(folder / FILE_NAME, allow_pickle=False) as file:
            latent_map = None if latent is None else LatentMap(*(file[name] for name in LatentMap._fields))
            depths = None if config.answers is None else DepthMap(*(file[name] for name in DepthMap._fields))
            scales = {name: file[name] for name in (*SCALES, *signal_names(config))}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelFolderError(f"{folder.name}/{FILE_NAME} can't be read: {error}. {_REMEDY}") from error
    shapes = () if latent_map is None else tuple(part.shape for part in latent_map)
    if latent is not None and shapes != ((classes, latent), (latent + 1, classes)):
        raise ModelFolderError(
            f"{folder.name}/{FILE_NAME} has centres and readout of shapes {shapes[0]}, {shapes[1]}; the models have "
            f"{classes} classes and {latent} numbers in the latent. {_REMEDY}"
        )
    if depths is not None and not depths.fits(classes):
        raise ModelFolderError(
            f"{folder.name}/{FILE_NAME} has arrays of features that don't belong together. {_REMEDY}"
        )
    for name, scale in scales.items():
        if scale.shape != (STEPS,) or not np.isfinite(scale).all() or (np.diff(scale) < 0).any():
            raise ModelFolderError(f"{folder.name}/{FILE_NAME}: {name} is no scale of {STEPS} steps. {_REMEDY}")
    return Difficulty(config, latent_map, scales, depths)


_REMEDY = "Fit the score again: python -m training.difficulty"
