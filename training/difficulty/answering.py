"""From a classifier's folder and its images to answers by its features, with what they are worth."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage.difficulty.config import Answers, Formula
from phototriage.difficulty.depths import DepthMap, depth_signals
from phototriage.difficulty.predictor import score
from phototriage.difficulty.signals import Features, Floats, SignalInputs, margin
from phototriage.model_folder.manifest import Manifest, Metric
from phototriage.settings import Settings
from training.data.dataset import Dataset
from training.data.loading import load
from training.difficulty.answers import Answering, Evidence, fit_answers
from training.difficulty.features import BATCH, FeatureReader, Seen, fit_depths
from training.difficulty.features import joined as joined_parts
from training.difficulty.foreign import stand_ins
from training.difficulty.judges import FOLDS, judged
from training.difficulty.metrics import PREFIX, auroc, bootstrap
from training.loop.compute import Compute
from training.loop.evaluation import metric_of
from training.statistics.intervals import Figure

FOREIGN_IMAGES = 400  # drawn and mixed ones
SPLIT = "val, other folds"


class Photos(NamedTuple):
    """The classifier's images: which it learned, and which were held out. foreign: a folder of images of none of the
    classes, if there is one."""

    data: Dataset
    train: Sequence[int]
    val: Sequence[int]
    foreign: Path | None


class Answered(NamedTuple):
    """What gives answers, the features of the held-out images, and figures."""

    answering: Answering
    features: Features
    metrics: list[Metric]


@dataclass(frozen=True)
class _Read:
    """Images as the classifier sees them."""

    reader: FeatureReader
    data: Dataset

    def rows(self, rows: Sequence[int]) -> Seen:
        batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        return joined_parts([self.reader.read([self.data.image(int(row)) for row in batch]) for batch in batches])


def joined(parts: Sequence[SignalInputs]) -> SignalInputs:
    """Of several sets of images as one."""
    features = [part.features for part in parts if part.features is not None]
    return SignalInputs(
        logits=np.concatenate([part.logits for part in parts]),
        latent=np.concatenate([part.latent for part in parts]),
        l1=np.concatenate([part.l1 for part in parts]),
        dissimilarity=np.concatenate([part.dissimilarity for part in parts]),
        pixels=np.concatenate([part.pixels for part in parts]),
        smallest_side=np.concatenate([part.smallest_side for part in parts]),
        features=features_of(features) if features else None,
    )


def features_of(parts: Sequence[Features]) -> Features:
    """Of several sets of images as one."""
    inner, last = zip(*parts, strict=True)
    return Features(np.concatenate(inner), np.concatenate(last))


def answer(photos: Photos, folder: Path, manifest: Manifest, settings: Settings, compute: Compute) -> Answered | None:
    """None, with a note on stderr, where the graph has no features at two depths, or where nothing was wrong."""
    data = photos.data
    try:
        reader = FeatureReader(folder, manifest, settings)
        read = _Read(reader, data)
        train, val = read.rows(photos.train), read.rows(photos.val)
        depths = fit_depths(train.features, data.targets[list(photos.train)])
        foreign = reader.read(_foreign_images(photos))
        evidence = Evidence(
            values_of(val, depths),
            val.logits.argmax(1) != data.targets[list(photos.val)],
            judged(data, photos.train, photos.val, compute),
            values_of(foreign, depths),
        )
        answers = fit_answers(evidence, reader.tensors)
    except ValueError as error:
        print(f"note: {folder.name} has no answers by features, since {error}", file=sys.stderr)
        return None
    return Answered(
        Answering(depths, answers),
        val.features,
        figures(evidence, data.folds(FOLDS)[list(photos.val)], reader, data.name),
    )


def _foreign_images(photos: Photos) -> list[Image.Image]:
    if photos.foreign is None:
        return stand_ins(photos.data, photos.train, FOREIGN_IMAGES)
    given = load(photos.foreign, labelled=False)
    return [given.image(row) for row in range(len(given))]


def values_of(seen: Seen, depths: DepthMap) -> dict[str, Floats]:
    """The signals (N,) that answers are made of."""
    logits = seen.logits.astype(np.float64)
    return depth_signals(seen.features, logits.argmax(1), depths) | {"small_margin": -margin(logits)}


def figures(evidence: Evidence, folds: NDArray[np.int64], reader: FeatureReader, photos: str) -> list[Metric]:
    """How well answers that were fitted on other folds tell mistakes, beside the margin alone."""
    by_fold = {}
    for fold in np.unique(folds):
        rest = folds != fold
        part = Evidence(_at(evidence.values, rest), evidence.own[rest], evidence.judged[:, rest], evidence.foreign)
        try:
            by_fold[fold] = fit_answers(part, reader.tensors)
        except ValueError:
            return []  # all mistakes are in one fold
    own, hard = evidence.own, evidence.judged.mean(0) >= 0.5
    wanted = [
        (f"AUROC of its own {own.sum()} mistakes, p_error", _by(by_fold, "error", evidence, folds), own),
        (f"AUROC of its own {own.sum()} mistakes, margin alone", evidence.values["small_margin"], own),
        (f"AUROC of most judges' {hard.sum()} mistakes, p_hard", _by(by_fold, "hard", evidence, folds), hard),
        (f"AUROC of most judges' {hard.sum()} mistakes, margin alone", evidence.values["small_margin"], hard),
    ]
    return [_figure(name, scores, wrong, photos) for name, scores, wrong in wanted if wrong.any() and not wrong.all()]


def _figure(name: str, scores: Floats, wrong: NDArray[np.bool_], photos: str) -> Metric:
    low, high = bootstrap(lambda rows: auroc(scores[rows], wrong[rows]), len(wrong))
    return metric_of(PREFIX + name, Figure(auroc(scores, wrong), low, high, len(wrong)), photos, SPLIT, digits=4)


def _by(by_fold: dict[int, Answers], question: str, evidence: Evidence, folds: NDArray[np.int64]) -> Floats:
    """(n,): each image's answer by the formula that was fitted on the other folds."""
    found = np.full(len(folds), np.nan)
    for fold, answers in by_fold.items():
        formula: Formula = getattr(answers, question)
        found[folds == fold] = score(formula, _at(evidence.values, folds == fold))
    return found


def _at(values: Mapping[str, Floats], rows: NDArray[np.bool_]) -> dict[str, Floats]:
    return {name: found[rows] for name, found in values.items()}
