"""A classifier's features of images at two depths, before its manifest names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression

from phototriage.common.progress import Progress
from phototriage.difficulty.depths import DepthMap, rooted
from phototriage.difficulty.signals import Features
from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import resize
from phototriage.model_folder.manifest import IMAGES, MODEL_FILE, Manifest
from phototriage.runtime.feature_tensors import find_features, with_features
from phototriage.runtime.forward_graph import forward_only
from phototriage.runtime.sessions import Sessions
from phototriage.settings import Settings
from training.data.dataset import Dataset

BATCH = 32
AXES = 64  # of each depth, at most
ABSENT = -1e3  # log-odds of a class that is not there
HEAD_STRENGTH = 1.0  # scikit-learn's C, on features of unit deviation


class Seen(NamedTuple):
    """What the classifier gives for N images: logits (N, K), and features."""

    logits: NDArray[np.float32]
    features: Features


class FeatureReader:
    """Reads a classifier's features. Raises ValueError where its graph has none, as `find_features`."""

    def __init__(self, model: onnx.ModelProto, logits: str, rule: InputConfig, name: str, settings: Settings) -> None:
        graph = forward_only(model, (logits,))
        self.tensors = find_features(graph, logits)
        extended, names = with_features(graph, self.tensors)
        self.name, self._rule, self._outputs = name, rule, [logits, *names]
        self._sessions = Sessions(extended.SerializeToString(), name, settings)

    @classmethod
    def of(cls, folder: Path, manifest: Manifest, settings: Settings) -> FeatureReader:
        """Of an exported classifier."""
        logits = manifest.output("logits").name
        return cls(onnx.load(folder / MODEL_FILE), logits, manifest.input, manifest.name, settings)

    def read(self, images: Sequence[Image.Image]) -> Seen:
        """Of decoded images, as serving would feed them."""
        found = []
        for start in range(0, len(images), BATCH):
            pixels = np.stack([resize(image, self._rule).pixels for image in images[start : start + BATCH]])
            found.append(self._sessions.run(self._outputs, {IMAGES: pixels}))
        logits, inner, last = (np.concatenate(column) for column in zip(*found, strict=True))
        return Seen(logits, Features(inner, last))


def read_rows(reader: FeatureReader, data: Dataset, rows: Sequence[int]) -> Seen:
    """What the classifier gives for the images `rows` of a set."""
    progress, parts = Progress(len(rows), title=f"features by {reader.name}: "), []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        parts.append(reader.read([data.image(int(row)) for row in batch]))
        progress.step(len(batch))
    return joined(parts)


def joined(parts: Sequence[Seen]) -> Seen:
    """Of several sets of images as one."""
    logits, features = zip(*parts, strict=True)
    return Seen(np.concatenate(logits), Features(*(np.concatenate(column) for column in zip(*features, strict=True))))


def fit_depths(features: Features, labels: NDArray[np.int64], classes: int) -> DepthMap:
    """From features of train images (n) and their labels (n,) among so many classes."""
    inner, last = features.inner.astype(np.float64), rooted(features.last)
    inner_mean, last_mean = inner.mean(0), last.mean(0)
    return DepthMap(
        head=fit_head(inner, labels, classes).astype(np.float32),
        inner_mean=inner_mean.astype(np.float32),
        inner_axes=principal_axes(inner - inner_mean).astype(np.float16),
        last_mean=last_mean.astype(np.float32),
        last_axes=principal_axes(last - last_mean).astype(np.float16),
    )


def fit_head(values: NDArray[np.float64], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """(C + 1, K): a logistic regression on values (n, C), as log-odds of K classes, the constants as first row. A class
    that no label (n,) names is never preferred."""
    there = np.unique(labels)
    head = np.zeros((values.shape[1] + 1, classes))
    head[0] = ABSENT
    head[:, there] = _fit_head(values, labels) if len(there) > 1 else 0
    return head


def _fit_head(values: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of the classes that are there, in ascending order."""
    mean, deviation = values.mean(0), np.maximum(values.std(0), 1e-6)
    model = LogisticRegression(C=HEAD_STRENGTH, max_iter=500, tol=1e-3).fit((values - mean) / deviation, labels)
    weights, constants = model.coef_, model.intercept_
    if len(weights) == 1:  # two classes: one row says the second against the first
        weights, constants = np.concatenate([-weights, weights]) / 2, np.concatenate([-constants, constants]) / 2
    scaled = weights / deviation
    return np.vstack([constants - scaled @ mean, scaled.T])


def principal_axes(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, D): the directions of most variance of offsets (n, D), at most AXES, and half of the dimensions or images."""
    count = max(1, min(AXES, min(offsets.shape) // 2))
    _, vectors = np.linalg.eigh(offsets.T @ offsets)
    axes: NDArray[np.float64] = vectors[:, ::-1][:, :count].T
    return axes
