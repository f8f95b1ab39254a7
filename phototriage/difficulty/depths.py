"""What a classifier's features of an image at two depths say of its doubt. NumPy only.

Training to the end takes doubt away from the last features, and with it from the logits. The features before its last
layers still have it: a linear layer on them contradicts where the classifier errs. And an image that is none of the
classes has features that no train image has: outside of the space that most of their variance is in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.difficulty.signals import EPSILON, Features, Floats, Kind

DEPTH_KINDS: Mapping[Kind, tuple[str, ...]] = {  # of reasons, and the signals here that give them
    "ambiguous": ("inner_contradiction",),
    "unusual": ("last_outside", "last_beyond", "inner_beyond"),
    "low_quality": (),
}
DEPTH_SIGNALS = tuple(name for names in DEPTH_KINDS.values() for name in names)


class DepthMap(NamedTuple):
    """What features say. head (C + 1, K): a linear layer from inner features to log-odds of the classes, the constants
    as its first row. Means (C,), (D,) of train images' features, and their principal axes (P, C), (P, D), rows of
    length 1; of the last features' square roots."""

    head: NDArray[np.floating]
    inner_mean: NDArray[np.floating]
    inner_axes: NDArray[np.floating]
    last_mean: NDArray[np.floating]
    last_axes: NDArray[np.floating]

    def fits(self, classes: int) -> bool:
        """Whether the shapes belong together, and to so many classes."""
        channels, dimensions = self.inner_mean.shape[-1], self.last_mean.shape[-1]
        shapes = [(channels + 1, classes), (channels,), (len(self.inner_axes), channels)]
        shapes += [(dimensions,), (len(self.last_axes), dimensions)]
        return [part.shape for part in self] == shapes


def depth_signals(features: Features, predicted: NDArray[np.int64], depths: DepthMap) -> dict[str, Floats]:
    """The values (N,) of each of DEPTH_SIGNALS for N images, as which the classifier answers the classes `predicted`
    (N,); the higher, the harder.

    inner_contradiction: by how much the head prefers another class, in log-odds. last_outside and last_beyond: the
    share of the distance from the train images' mean that lies outside their axes, and that part itself. inner_beyond:
    the same part of the inner features.
    """
    inner = features.inner.astype(np.float64)
    offsets = rooted(features.last) - depths.last_mean
    beyond = outside(offsets, depths.last_axes)
    answers = depths.head[0] + inner @ depths.head[1:].astype(np.float64)
    return {
        "inner_contradiction": preference_for_another(answers, predicted),
        "last_outside": beyond / np.maximum(np.linalg.norm(offsets, axis=1), EPSILON),
        "last_beyond": beyond,
        "inner_beyond": outside(inner - depths.inner_mean, depths.inner_axes),
    }


def rooted(values: NDArray[np.floating]) -> Floats:
    """Square roots with the sign kept, by which no few large features outweigh the others."""
    exact = values.astype(np.float64)
    roots: Floats = np.copysign(np.sqrt(np.abs(exact)), exact)
    return roots


def outside(offsets: Floats, axes: NDArray[np.floating]) -> Floats:
    """(N,): the length of what is left of offsets (N, D) without their part along axes (P, D)."""
    along = offsets @ axes.T.astype(np.float64)
    lengths: Floats = np.linalg.norm(offsets - along @ axes, axis=1)
    return lengths


def preference_for_another(answers: Floats, predicted: NDArray[np.int64]) -> Floats:
    """(N,): the greatest of the other classes' answers (N, K) less that of the predicted one (N,)."""
    rows = np.arange(len(answers))
    others = answers.copy()
    others[rows, predicted] = -np.inf
    differences: Floats = others.max(1) - answers[rows, predicted]
    return differences
