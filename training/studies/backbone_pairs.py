"""Ways to the embedding: similarities of labelled pairs, decided by the thresholds of other folds; and their tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage import duplicates
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from training.data.photos import Photos
from training.data.splits import folds
from training.embedder.discriminant_head import HEAD_VIEWS
from training.embedder.job import LAST_HEAD_SHRINKAGE
from training.networks.embedder import discriminant
from training.pairs.labelled_pairs import PairSets, places_of
from training.pairs.metrics import best_f1, best_threshold, counts_at
from training.pairs.thresholds import parse_aim
from training.statistics.intervals import RESAMPLES, resamples
from training.statistics.tables import table
from training.studies.backbone_figures import FOLDS, Flags, beside_first, f1, mean_precision
from training.studies.backbone_graphs import Floats, Layer, last_layer
from training.studies.backbone_models import Models


class Truth(NamedTuple):
    """What is known of n pairs: whether they are of one photo, and hard; source and group of the photo that each was
    made for, its fold, and the places of both sides among the uploads (n, 2)."""

    same: Flags
    hard: Flags
    sources: NDArray[np.str_]
    clusters: NDArray[np.int64]
    folds: NDArray[np.int64]
    sides: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: PairSets, photos: Photos) -> Truth:
        everyone = [*pairs.everyday, *pairs.hard]
        made_for = [photos.photos[pair.left.photo] for pair in everyone]
        same = np.array([pair.same for pair in everyone])
        return cls(
            same,
            np.arange(len(same)) >= len(pairs.everyday),
            np.array([one.key.split("/")[0] for one in made_for]),
            photos.groups[[pair.left.photo for pair in everyone]],
            folds([one.group for one in made_for], FOLDS),
            places_of(everyone),
        )

    def parts(self) -> dict[str, Flags]:
        """Which pairs (n,), by difficulty, of all sources and of each."""
        kinds = {"everyday": ~self.hard, "hard": self.hard}
        return kinds | {
            f"{name}, {source}": chosen & (self.sources == source)
            for source in np.unique(self.sources)
            for name, chosen in kinds.items()
        }


class PairArm(NamedTuple):
    """A way to the embedding: similarities (n,) of all pairs."""

    name: str
    similarities: NDArray[np.float64]


def fit_layer(features: Floats, dimension: int) -> Layer:
    """By discriminant analysis, from features (photos · HEAD_VIEWS, F)."""
    views = features.reshape(-1, HEAD_VIEWS, features.shape[1])
    return Layer(*discriminant(views, dimension, LAST_HEAD_SHRINKAGE))


def pair_arm(name: str, seen: Floats, placed: Floats, truth: Truth, rescoring: LayoutRescoring | None) -> PairArm:
    """From embeddings and layouts of the uploads; with layout re-scoring if that pays, as a training decides it."""
    left, right = truth.sides.T
    plain = duplicates.similarities(seen[left], seen[right])
    if rescoring is None:
        return PairArm(name, plain)
    rows = np.hstack([seen, placed])
    rescored = duplicates.similarities(rows[left], rows[right], rescoring)
    pays = best_f1(rescored, truth.same) > best_f1(plain, truth.same)
    return PairArm(name, rescored) if pays else PairArm(f"{name}, no layout re-scoring", plain)


def pair_arms(
    models: Models, views: Mapping[str, Floats], uploads: Mapping[str, Floats], truth: Truth
) -> list[PairArm]:
    """views: features of `head_shots`; uploads: features and layouts of `uploads_of`."""
    own, other = models.classifier.input.height, models.embedder.input.height
    shipped, arms = last_layer(models.embedding), []
    for name, backbone, side, layer in (
        ("E0: the embedder", "embedder", other, shipped),
        ("E0: the embedder, last layer anew", "embedder", other, None),
        ("E2: the classifier's backbone, last layer anew", "classifier", own, None),
        ("E3: the embedder", "embedder", own, shipped),
        ("E3: the embedder, last layer anew", "embedder", own, None),
        ("E4: the published backbone, last layer anew", "published", own, None),
    ):
        key, taps = f"{backbone}@{side}", shipped.weights.shape[1]
        chosen = layer or fit_layer(views[key][:, :taps], models.embedder.width)
        seen = chosen.embed(uploads[key][:, :taps])
        arms.append(
            pair_arm(f"{name}, {side} px", seen, uploads[f"layout@{side}"], truth, models.embedder.layout_rescoring)
        )
        print(arms[-1].name, file=sys.stderr)
    return arms


def decided(similarities: NDArray[np.float64], truth: Truth, aim: str) -> tuple[Flags, list[float]]:
    """Which pairs are called duplicates, each by the threshold that is best for the pairs made for photos of other
    folds; and these thresholds, ascending.

    To leave out the pairs whose other side is in the fold, too, would leave a larger share of duplicates than there is
    among those decided, and so a threshold that is too low for them.
    """
    called, thresholds = np.zeros(len(similarities), bool), []
    for fold in np.unique(truth.folds):
        rows = truth.folds == fold
        thresholds.append(best_threshold(similarities[~rows], truth.same[~rows], parse_aim(aim)))
        called[rows] = similarities[rows] >= thresholds[-1]
    return called, sorted(thresholds)


def pair_table(
    arms: Sequence[PairArm], called: Mapping[str, Sequence[Flags]], truth: Truth, chosen: Flags, seed: int
) -> str:
    """Markdown, of the pairs `chosen` (n,). called: by aim, which pairs each arm calls duplicates."""
    same, samples = truth.same[chosen], resamples(truth.clusters[chosen], RESAMPLES, seed)
    header, rows = [""], [[arm.name] for arm in arms]
    for aim, flags in called.items():
        header += [f"F1, aim {aim}", "− E0", "precision", "recall"]
        columns = beside_first([partial(f1, called=each[chosen], same=same) for each in flags], len(same), samples)
        for row, cells, each in zip(rows, columns, flags, strict=True):
            counts = counts_at(each[chosen].astype(np.float32), same, 0.5)
            row += [*cells, f"{counts.precision:.3f}", f"{counts.recall:.3f}"]
    statistics = [partial(mean_precision, similarities=arm.similarities[chosen], same=same) for arm in arms]
    for row, cells in zip(rows, beside_first(statistics, len(same), samples), strict=True):
        row += cells
    return table([*header, "average precision", "− E0"], rows)
