"""Signals of images → how hard each is, where that stands among held-out images, and why. NumPy only."""

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
from phototriage.difficulty.config import FARTHEST, FILE_NAME, LEVEL, DifficultyConfig, Formula
from phototriage.difficulty.signals import KINDS, SIGNALS, Floats, Kind, LatentMap, SignalInputs, signals, softmax

Reason = Literal["ambiguous", "unusual", "low_quality", "likely_mislabelled"]

REASON_FROM = 90.0  # percentile
STEPS = 501  # values of a scale
SCORE: Final = "score"
MISLABELLED: Final = "likely_mislabelled"
SCALES = (SCORE, MISLABELLED, *KINDS, *SIGNALS)


@dataclass(frozen=True)
class WhyHard:
    """`signal` is what is meant by `value`; the percentile is that of the whole kind."""

    kind: Reason
    signal: str
    value: float
    percentile: float


@dataclass(frozen=True)
class DifficultyPrediction:
    """Of one image. kinds: the percentile of each kind of reason, whether it is one or not."""

    score: float
    percentile: float
    review: bool
    reasons: list[WhyHard]
    components: dict[str, float]
    kinds: dict[Reason, float]
    label_doubt: float | None  # the probability of all other labels than the caller's


@dataclass(frozen=True)
class Difficulty:
    """A fitted score. scales: STEPS ascending quantiles, among held-out images, of the score, of each signal and of
    each kind of reason."""

    rule: DifficultyConfig
    latent_map: LatentMap
    scales: Mapping[str, NDArray[np.float32]]

    def predict(self, seen: SignalInputs, labels: Sequence[int | None] | None = None) -> list[DifficultyPrediction]:
        """Of N images. labels: those that the caller gives, places among the classes; None where none is given."""
        found = signals(seen, self.latent_map)
        scores = self._reckoner.score(found)
        percentiles = {name: self.percentile(name, found[name]) for name in SIGNALS}
        kinds = {kind: self.percentile(kind, strongest(percentiles, kind)) for kind in KINDS}
        places = self.percentile(SCORE, scores)
        doubts = doubt_of_labels(seen.logits, labels)
        doubt_places = self.percentile(MISLABELLED, doubts)
        predictions = []
        for one in range(len(scores)):
            components = {name: float(found[name][one]) for name in SIGNALS}
            by_kind: dict[Reason, float] = {kind: float(kinds[kind][one]) for kind in KINDS}
            reasons = []
            for kind, names in KINDS.items():
                if by_kind[kind] >= REASON_FROM:
                    signal = max(names, key=lambda name: float(percentiles[name][one]))
                    reasons.append(WhyHard(kind, signal, components[signal], by_kind[kind]))
            if np.isfinite(doubts[one]):
                by_kind[MISLABELLED] = float(doubt_places[one])
                label = None if labels is None else labels[one]
                if label != int(seen.logits[one].argmax()):
                    doubt, place = float(doubts[one]), by_kind[MISLABELLED]
                    reasons.append(WhyHard(MISLABELLED, "probability_of_other_labels", doubt, place))
            predictions.append(
                DifficultyPrediction(
                    score=float(scores[one]),
                    percentile=float(places[one]),
                    review=bool(scores[one] >= self.rule.review_from),
                    reasons=sorted(reasons, key=lambda reason: -reason.percentile),
                    components=components,
                    kinds=by_kind,
                    label_doubt=float(doubts[one]) if np.isfinite(doubts[one]) else None,
                )
            )
        return predictions

    def percentile(self, name: str, values: Floats) -> Floats:
        """0 to 100 for each of `values` (N,): where it stands on that scale, in the middle of its equals. On a scale of
        one value, of a signal that held-out images don't differ in, it is 50, whatever it is."""
        scale = self._steps[name]
        if scale[0] == scale[-1]:
            return np.full(len(values), 50.0)
        rounded = values.astype(np.float32).tolist()  # as the scale is
        both = [bisect_left(scale, value) + bisect_right(scale, value) for value in rounded]
        return 50.0 * np.array(both) / len(scale)

    @cached_property
    def _reckoner(self) -> Reckoner:
        return Reckoner(self.rule.formula)

    @cached_property
    def _steps(self) -> Mapping[str, list[float]]:
        """The scales as lists, in which one image's values are found ten times as fast."""
        return {name: scale.tolist() for name, scale in self.scales.items()}


class Reckoner:
    """A formula, ready to reckon with."""

    def __init__(self, formula: Formula) -> None:
        self._names = tuple(formula.weights)
        weights = formula.weights.values()
        self._means, self._deviations, self._factors = np.array([(w.mean, w.deviation, w.weight) for w in weights]).T
        self._intercept = formula.intercept
        self._steps = np.array(formula.knots, float).reshape(-1, 2).T

    def score(self, found: Mapping[str, Floats]) -> Floats:
        """(N,) probabilities from signals (N,) by name."""
        values = np.stack([found[name] for name in self._names], axis=1)
        sums = self._intercept + standardised(values, self._means, self._deviations) @ self._factors
        exact: Floats = 1 / (1 + np.exp(-log_odds_of(self._steps, sums)))
        return exact


def score(formula: Formula, found: Mapping[str, Floats]) -> Floats:
    """(N,) probabilities from signals (N,) by name."""
    return Reckoner(formula).score(found)


def log_odds_of(steps: Floats, sums: Floats) -> Floats:
    """(N,): sums (N,) looked up among steps (2, K): ascending sums and their log-odds."""
    if not steps.size:
        return sums
    places, values = steps
    beyond = sums - np.clip(sums, places[0], places[-1])
    found: Floats = np.interp(sums, places, values) + LEVEL * beyond
    return found


def standardised(values: Floats, mean: float | Floats, deviation: float | Floats) -> Floats:
    """In deviations from the mean, at most FARTHEST."""
    found: Floats = np.clip((values - mean) / deviation, -FARTHEST, FARTHEST)
    return found


def strongest(percentiles: Mapping[str, Floats], kind: Kind) -> Floats:
    """(N,): the greatest percentile of the kind's signals."""
    found: Floats = np.max([percentiles[name] for name in KINDS[kind]], axis=0)
    return found


def doubt_of_labels(logits: NDArray[np.floating], labels: Sequence[int | None] | None) -> Floats:
    """(N,): the probability, by the classifier, of all other labels than the given ones; NaN where none is given."""
    found = np.full(len(logits), np.nan)
    probabilities = softmax(logits)
    for one, label in enumerate(labels or []):
        if label is not None:
            found[one] = 1 - probabilities[one, label]
    return found


def fit_scales(rule: DifficultyConfig, seen: SignalInputs, latent_map: LatentMap, labels: Sequence[int]) -> Difficulty:
    """The score with the scales of held-out images and their own labels."""

    def scale(values: Floats) -> NDArray[np.float32]:
        return np.quantile(values, np.linspace(0, 1, STEPS)).astype(np.float32)

    found = signals(seen, latent_map)
    scales = {name: scale(found[name]) for name in SIGNALS}
    scales[SCORE] = scale(score(rule.formula, found))
    scales[MISLABELLED] = scale(doubt_of_labels(seen.logits, labels))
    unfinished = Difficulty(rule, latent_map, scales)
    percentiles = {name: unfinished.percentile(name, found[name]) for name in SIGNALS}
    scales |= {kind: scale(strongest(percentiles, kind)) for kind in KINDS}
    return Difficulty(rule, latent_map, scales)


def write(difficulty: Difficulty, folder: Path) -> Path:
    """Write `folder/difficulty.npz`: what the latent says, and scales; by a temporary name and a rename."""
    path = folder / FILE_NAME
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **difficulty.latent_map._asdict(), **difficulty.scales)
    part.replace(path)
    return path


def read(rule: DifficultyConfig, folder: Path, classes: int, latent: int) -> Difficulty:
    """What `write` wrote. Raises ModelFolderError where it isn't that, or of other classes or another latent."""
    try:
        with np.load(folder / FILE_NAME, allow_pickle=False) as file:
            latent_map = LatentMap(*(file[name] for name in LatentMap._fields))
            scales = {name: file[name] for name in SCALES}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelFolderError(f"{folder.name}/{FILE_NAME} can't be read: {error}. {_REMEDY}") from error
    shapes = tuple(part.shape for part in latent_map)
    if shapes != ((classes, latent), (latent + 1, classes)):
        raise ModelFolderError(
            f"{folder.name}/{FILE_NAME} has centres and readout of shapes {shapes[0]}, {shapes[1]}; the models have "
            f"{classes} classes and {latent} numbers in the latent. {_REMEDY}"
        )
    for name, scale in scales.items():
        if scale.shape != (STEPS,) or not np.isfinite(scale).all() or (np.diff(scale) < 0).any():
            raise ModelFolderError(f"{folder.name}/{FILE_NAME}: {name} is no scale of {STEPS} steps. {_REMEDY}")
    return Difficulty(rule, latent_map, scales)


_REMEDY = "Fit the score again: python -m training.difficulty"
