"""Good models whose mistakes say which images are hard: linear layers on a published backbone's features."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.settings import Settings
from training.answers.features import FeatureReader, fit_head, read_rows
from training.data.dataset import Dataset
from training.data.square_input import square_input
from training.gradient_graph.graph import build_onnx
from training.networks.backbones import EfficientNetLite0
from training.networks.classifier import Classifier, NetworkSpec

FOLDS = 5
SIDE = 224  # of the published backbone's input, in pixels
MOST_LEARNED = 10_000  # images: more would make a linear layer hardly better


class Judged(NamedTuple):
    """The mistakes (S, m) of S models about images that none of them has seen; and, of the images that they learn from,
    the share of mistakes (n,) of those that were fitted without each, NaN where there is none."""

    unseen: NDArray[np.bool_]
    learned: NDArray[np.float64]


def judged(data: Dataset, train: Sequence[int], val: Sequence[int], settings: Settings) -> Judged:
    """About images `val` and `train`. On the features of each of two depths, a model is fitted on the images `train`
    without those of each fold."""
    network = Classifier(NetworkSpec(backbone="efficientnet_lite0", classes=2))
    assert isinstance(network.backbone, EfficientNetLite0)
    network.backbone.load_packaged()
    rule = square_input(SIDE)
    # In ONNX Runtime, since on a CPU that takes a quarter of the time.
    reader = FeatureReader(build_onnx(network, rule), "logits", rule, "judges", settings)
    places = np.sort(np.random.default_rng(0).permutation(len(train))[:MOST_LEARNED])
    learns = np.asarray(train)[places]
    features = read_rows(reader, data, [*learns.tolist(), *val]).features
    labels, folds = data.targets[learns], data.folds(FOLDS)[learns]
    found: list[NDArray[np.bool_]] = []
    wrong, asked = np.zeros(len(train)), np.zeros(len(train))
    for depth in features:
        known, unseen = np.split(depth.astype(np.float64), [len(learns)])
        for fold in range(FOLDS):
            rest = folds != fold
            if len(np.unique(labels[rest])) < len(data.labels):
                continue
            head = fit_head(known[rest], labels[rest], len(data.labels))
            found.append((head[0] + unseen @ head[1:]).argmax(1) != data.targets[list(val)])
            wrong[places[~rest]] += (head[0] + known[~rest] @ head[1:]).argmax(1) != labels[~rest]
            asked[places[~rest]] += 1
    if not found:
        print("note: no judges, since a class is rare: p_hard goes by the classifier's own mistakes", file=sys.stderr)
    shares = np.divide(wrong, asked, out=np.full(len(train), np.nan), where=asked > 0)
    return Judged(np.array(found, bool).reshape(-1, len(val)), shares)
