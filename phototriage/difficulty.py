"""Signals of images → how hard each is, where that stands among held-out images, and why. NumPy only."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from phototriage.difficulty_rule import FARTHEST, FILE_NAME, DifficultyRule, SignalWeight
from phototriage.errors import ModelFolderError
from phototriage.signals import KINDS, SIGNALS, Floats, Seen, signals, softmax

Reason = Literal["ambiguous", "unusual", "low_quality", "likely_mislabelled"]

REASON_FROM = 90.0  # percentile
STEPS = 501  # values of a scale
SCORE, CENTRES = "score", "centres"
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
class Judgement:
    """Of one image. kinds: the percentile of each kind of reason, whether it is one or not."""

    score: float
    percentile: float
    review: bool
    reasons: list[WhyHard]
    components: dict[str, float]
    kinds: dict[Reason, float]


@dataclass(frozen=True)
class Difficulty:
    """A fitted score. centres (K, D): mean latent of each class; scales: STEPS ascending quantiles, among held-out
    images, of the score, of each signal and of each kind of reason."""

    rule: DifficultyRule
    centres: NDArray[np.float32]
    scales: Mapping[str, NDArray[np.float32]]

    def judge(self, seen: Seen, labels: Sequence[int | None] | None = None) -> list[Judgement]:
        """Of N images. labels: those that the caller gives, places among the classes; None where none is given."""
        found = signals(seen, self.centres)
        scores = score(self.rule.weights, self.rule.intercept, found)
        percentiles = {name: self.percentile(name, found[name]) for name in SIGNALS}
        kinds = {kind: self.percentile(kind, strongest(percentiles, kind)) for kind in KINDS}
        places = self.percentile(SCORE, scores)
        doubts = doubt_of_labels(seen.logits, labels)
        doubt_places = self.percentile(MISLABELLED, doubts)
        judged = []
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
            judged.append(
                Judgement(
                    score=float(scores[one]),
                    percentile=float(places[one]),
                    review=bool(scores[one] >= self.rule.review_from),
                    reasons=sorted(reasons, key=lambda reason: -reason.percentile),
                    components=components,
                    kinds=by_kind,
                )
            )
        return judged

    def percentile(self, name: str, values: Floats) -> Floats:
        """0 to 100 for each of `values` (N,): where it stands on that scale, in the middle of its equals."""
        scale = self.scales[name].astype(np.float64)
        below, upto = (np.searchsorted(scale, values.astype(np.float32), side) for side in ("left", "right"))
        found: Floats = 50.0 * (below + upto) / len(scale)
        return found


def score(weights: Mapping[str, SignalWeight], intercept: float, found: Mapping[str, Floats]) -> Floats:
    """(N,) probabilities from signals (N,) by name."""
    total = np.full(len(next(iter(found.values()))), intercept)
    for name, one in weights.items():
        total += one.weight * standardised(found[name], one.mean, one.deviation)
    exact: Floats = 1 / (1 + np.exp(-total))
    return exact


def standardised(values: Floats, mean: float, deviation: float) -> Floats:
    """In deviations from the mean, at most FARTHEST."""
    found: Floats = np.clip((values - mean) / deviation, -FARTHEST, FARTHEST)
    return found


def strongest(percentiles: Mapping[str, Floats], kind: str) -> Floats:
    """(N,): the greatest percentile of the kind's signals."""
    names = next(names for name, names in KINDS.items() if name == kind)
    found: Floats = np.max([percentiles[name] for name in names], axis=0)
    return found


def doubt_of_labels(logits: NDArray[np.floating], labels: Sequence[int | None] | None) -> Floats:
    """(N,): the probability, by the classifier, of all other labels than the given ones; NaN where none is given."""
    found = np.full(len(logits), np.nan)
    probabilities = softmax(logits)
    for one, label in enumerate(labels or []):
        if label is not None:
            found[one] = 1 - probabilities[one, label]
    return found


def fit_scales(rule: DifficultyRule, seen: Seen, centres: NDArray[np.float32], labels: Sequence[int]) -> Difficulty:
    """The score with the scales of held-out images and their own labels."""

    def scale(values: Floats) -> NDArray[np.float32]:
        return np.quantile(values, np.linspace(0, 1, STEPS)).astype(np.float32)

    found = signals(seen, centres)
    scales = {name: scale(found[name]) for name in SIGNALS}
    scales[SCORE] = scale(score(rule.weights, rule.intercept, found))
    scales[MISLABELLED] = scale(doubt_of_labels(seen.logits, labels))
    unfinished = Difficulty(rule, centres, scales)
    percentiles = {name: unfinished.percentile(name, found[name]) for name in SIGNALS}
    scales |= {kind: scale(strongest(percentiles, kind)) for kind in KINDS}
    return Difficulty(rule, centres, scales)


def write(difficulty: Difficulty, folder: Path) -> Path:
    """Write `folder/difficulty.npz`: centres and scales; by a temporary name and a rename."""
    path = folder / FILE_NAME
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **{CENTRES: difficulty.centres}, **difficulty.scales)
    part.replace(path)
    return path


def read(rule: DifficultyRule, folder: Path, classes: int, latent: int) -> Difficulty:
    """What `write` wrote. Raises ModelFolderError where it isn't that, or of other classes or another latent."""
    try:
        with np.load(folder / FILE_NAME, allow_pickle=False) as file:
            centres = file[CENTRES]
            scales = {name: file[name] for name in SCALES}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelFolderError(f"{folder.name}/{FILE_NAME} can't be read: {error}. {_REMEDY}") from error
    if centres.shape != (classes, latent):
        raise ModelFolderError(
            f"{folder.name}/{FILE_NAME} has centres of shape {centres.shape}; the models have {classes} classes and "
            f"{latent} numbers in the latent. {_REMEDY}"
        )
    for name, scale in scales.items():
        if scale.shape != (STEPS,) or not np.isfinite(scale).all() or (np.diff(scale) < 0).any():
            raise ModelFolderError(f"{folder.name}/{FILE_NAME}: {name} is no scale of {STEPS} steps. {_REMEDY}")
    return Difficulty(rule, centres, scales)


_REMEDY = "Fit the score again: python -m training.difficulty"
