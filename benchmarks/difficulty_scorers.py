"""What may tell how much a classifier's answer is worth: its difficulty's answers, and single signals beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import logsumexp

from phototriage.difficulty.depths import DEPTH_SIGNALS
from phototriage.difficulty.signals import Features, Floats
from phototriage.images.upright import whole
from phototriage.models.model_set import DifficultyModels
from phototriage.triage.assessment import concatenated, model_inputs, signal_inputs
from training.answers.answering import joined

BATCH = 32
NEIGHBOURS = 10
ANSWERS = ("score", "p_error", "p_hard", "p_foreign")
PEERS = ("entropy", "margin", "max softmax", "energy", "nearest neighbours")  # published, and for nothing or nearly
PARTS = (*DEPTH_SIGNALS, "contradiction", "reconstruction_l1", "reconstruction_dissimilarity")
_OWN_NAMES = {"margin": "small_margin", "max softmax": "doubt"}


class Scored(NamedTuple):
    """Of n images: values (n,) by scorer, the higher the less to be trusted; and the answers' indices (n,)."""

    values: Mapping[str, Floats]
    predicted: NDArray[np.int64]


class Bank(NamedTuple):
    """Train images' last features (N, D), of length 1."""

    features: NDArray[np.float32]

    @classmethod
    def of(cls, features: Features) -> Bank:
        return cls(_of_length_1(features.last))

    def distance(self, last: NDArray[np.floating]) -> Floats:
        """(n,): the mean distance to the NEIGHBOURS nearest ones."""
        products = _of_length_1(last) @ self.features.T
        nearest = -np.partition(-products, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        distances: Floats = np.sqrt(np.maximum(2 - 2 * nearest.astype(np.float64), 0)).mean(1)
        return distances


def _of_length_1(features: NDArray[np.floating]) -> NDArray[np.float32]:
    lengths = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    scaled: NDArray[np.float32] = (features / lengths).astype(np.float32)
    return scaled


def scored(served: DifficultyModels, images: Sequence[Image.Image], bank: Bank) -> Scored:
    """As serving would say it. The classifier must have answers by its features."""
    parts = []
    for start in range(0, len(images), BATCH):
        shown = [
            model_inputs(served.classifier, served.autoencoder, [whole(image)])
            for image in images[start : start + BATCH]
        ]
        parts.append(signal_inputs(served.classifier, served.autoencoder, concatenated(shown)))
    seen = joined(parts)
    if seen.features is None:
        raise ValueError(f"{served.classifier.name} has no answers by features")
    signals = served.difficulty.signals(seen)
    answers = [prediction.answers for prediction in served.difficulty.predict(seen)]
    values = {
        "score": served.difficulty.scores(signals),
        **{name: np.array([getattr(each, name) for each in answers]) for name in ANSWERS[1:]},
        "entropy": signals["entropy"],
        **{name: signals[own] for name, own in _OWN_NAMES.items()},
        "energy": -logsumexp(seen.logits.astype(np.float64), axis=1),
        "nearest neighbours": bank.distance(seen.features.last),
        **{name: signals[name] for name in PARTS if name in signals},
    }
    return Scored(values, seen.logits.argmax(1))
