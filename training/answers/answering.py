"""From a classifier's folder and its images to answers by its features, with what they are worth."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage.difficulty.config import METRIC_PREFIX, Answers, Formula
from phototriage.difficulty.depths import DepthMap, depth_signals
from phototriage.difficulty.predictor import score
from phototriage.difficulty.signals import Features, Floats, Reconstruction, SignalInputs, margin
from phototriage.model_folder.manifest import Manifest, Metric
from phototriage.settings import Settings
from training.answers.features import FeatureReader, Seen, fit_depths, read_rows
from training.answers.foreign import stand_ins
from training.answers.formulas import Answering, Evidence, ReplicaEvidence, fit_answers
from training.answers.judges import FOLDS, judged
from training.answers.replicas import train_replicas
from training.data.dataset import Dataset
from training.data.loading import load
from training.loop.compute import Compute
from training.loop.evaluation import metric_of
from training.statistics.intervals import Figure
from training.statistics.mistakes import auroc, bootstrap

FOREIGN_IMAGES = 400  # drawn and mixed ones
MOST_FOREIGN = 5000  # of a folder
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


def joined(parts: Sequence[SignalInputs]) -> SignalInputs:
    """Of several sets of images as one."""
    features = [part.features for part in parts if part.features is not None]
    drawn = [part.reconstruction for part in parts if part.reconstruction is not None]
    return SignalInputs(
        logits=np.concatenate([part.logits for part in parts]),
        pixels=np.concatenate([part.pixels for part in parts]),
        smallest_side=np.concatenate([part.smallest_side for part in parts]),
        reconstruction=Reconstruction(*map(np.concatenate, zip(*drawn, strict=True))) if drawn else None,
        features=features_of(features) if features else None,
    )


def features_of(parts: Sequence[Features]) -> Features:
    """Of several sets of images as one."""
    inner, last = zip(*parts, strict=True)
    return Features(np.concatenate(inner), np.concatenate(last))


def answer(
    photos: Photos, folder: Path, manifest: Manifest, settings: Settings, compute: Compute, runs: Path
) -> Answered | None:
    """None, with a note on stderr, where the graph has no features at two depths. `runs`:
    the folder in which replicas are kept."""
    data = photos.data
    try:
        reader = FeatureReader.of(folder, manifest, settings)
    except ValueError as error:
        print(f"note: {folder.name} has no answers by features, since {error}", file=sys.stderr)
        return None
    evidence, depths, seen = gather(photos, reader, manifest, settings, compute, runs)
    answers = fit_answers(evidence, reader.tensors)
    return Answered(
        Answering(depths, answers),
        seen.features,
        figures(evidence, data.folds(FOLDS)[list(photos.val)], reader, data.name),
    )


def gather(
    photos: Photos, reader: FeatureReader, manifest: Manifest, settings: Settings, compute: Compute, runs: Path
) -> tuple[Evidence, DepthMap, Seen]:
    """What answers are fitted to, what features say, and what the classifier gives for the held-out images."""
    data = photos.data
    train, val = read_rows(reader, data, photos.train), read_rows(reader, data, photos.val)
    depths = fit_depths(train.features, data.targets[list(photos.train)], len(data.labels))
    foreign = read_foreign(photos, reader)
    judges = judged(data, photos.train, photos.val, settings)
    evidence = Evidence(
        values_of(val, depths),
        val.logits.argmax(1) != data.targets[list(photos.val)],
        judges.unseen,
        values_of(foreign, depths),
        replica_evidence(photos, judges.learned, manifest, settings, compute, runs),
    )
    return evidence, depths, val


def replica_evidence(
    photos: Photos, hardness: Floats, manifest: Manifest, settings: Settings, compute: Compute, runs: Path
) -> list[ReplicaEvidence]:
    """Of each replica, about the train images that it hasn't learned. hardness (n,): what judges say of the train
    images."""
    labels, found = photos.data.targets, []
    share_of = dict(zip(photos.train, hardness.tolist(), strict=True))
    for answer in train_replicas(photos.data, photos.train, manifest, settings, compute, runs):
        depths = fit_depths(answer.learned.features, labels[answer.learned_rows], len(photos.data.labels))
        wrong = answer.unseen.logits.argmax(1) != labels[answer.unseen_rows]
        shares = np.array([share_of[row] for row in answer.unseen_rows.tolist()])
        found.append(ReplicaEvidence(values_of(answer.unseen, depths), wrong, shares))
    return found


def read_foreign(photos: Photos, reader: FeatureReader) -> Seen:
    """What the classifier gives for images of none of the classes: those of the folder that was given, at most
    MOST_FOREIGN of them, or drawn and mixed ones."""
    if photos.foreign is None:
        return reader.read(stand_in_images(photos))
    given = load(photos.foreign, labelled=False)
    return read_rows(reader, given, np.random.default_rng(0).permutation(len(given))[:MOST_FOREIGN].tolist())


def stand_in_images(photos: Photos) -> list[Image.Image]:
    """Drawn and mixed images, where no folder is given."""
    return stand_ins(photos.data, photos.train, FOREIGN_IMAGES)


def values_of(seen: Seen, depths: DepthMap) -> dict[str, Floats]:
    """The signals (N,) that answers are made of."""
    logits = seen.logits.astype(np.float64)
    return depth_signals(seen.features, logits.argmax(1), depths) | {"small_margin": -margin(logits)}


def figures(evidence: Evidence, folds: NDArray[np.int64], reader: FeatureReader, photos: str) -> list[Metric]:
    """How well answers that were fitted on other folds tell mistakes, beside the margin alone."""
    if len(np.unique(folds)) < 2:
        return []  # all images are of one group
    by_fold = {}
    for fold in np.unique(folds):
        rest = folds != fold
        part = evidence._replace(
            values=_at(evidence.values, rest), own=evidence.own[rest], judged=evidence.judged[:, rest]
        )
        by_fold[fold] = fit_answers(part, reader.tensors)
    own, hard = evidence.own, evidence.hardness >= 0.5
    wanted = [
        (f"AUROC of its own {own.sum()} mistakes, p_error", _by(by_fold, "error", evidence, folds), own),
        (f"AUROC of its own {own.sum()} mistakes, margin alone", evidence.values["small_margin"], own),
        (f"AUROC of most judges' {hard.sum()} mistakes, p_hard", _by(by_fold, "hard", evidence, folds), hard),
        (f"AUROC of most judges' {hard.sum()} mistakes, margin alone", evidence.values["small_margin"], hard),
    ]
    return [_figure(name, scores, wrong, photos) for name, scores, wrong in wanted if wrong.any() and not wrong.all()]


def _figure(name: str, scores: Floats, wrong: NDArray[np.bool_], photos: str) -> Metric:
    low, high = bootstrap(lambda rows: auroc(scores[rows], wrong[rows]), len(wrong))
    return metric_of(METRIC_PREFIX + name, Figure(auroc(scores, wrong), low, high, len(wrong)), photos, SPLIT, digits=4)


def _by(by_fold: dict[int, Answers], question: str, evidence: Evidence, folds: NDArray[np.int64]) -> Floats:
    """(n,): each image's answer by the formula that was fitted on the other folds."""
    found = np.full(len(folds), np.nan)
    for fold, answers in by_fold.items():
        formula: Formula = getattr(answers, question)
        found[folds == fold] = score(formula, _at(evidence.values, folds == fold))
    return found


def _at(values: Mapping[str, Floats], rows: NDArray[np.bool_]) -> dict[str, Floats]:
    return {name: found[rows] for name, found in values.items()}
