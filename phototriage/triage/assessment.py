"""Many images at once, as the two models that difficulty needs are fed with them, and what these give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.difficulty.signals import SignalInputs
from phototriage.images.pixels import resize
from phototriage.images.upright import Upright
from phototriage.models.autoencoder import Autoencoder
from phototriage.models.classifier import Classifier


class ModelInputs(NamedTuple):
    """N decoded images as the two models are fed, uint8 (N, H, W, C) each, and the smallest side of each (N,)."""

    classifier: NDArray[np.uint8]
    autoencoder: NDArray[np.uint8]
    smallest_side: NDArray[np.int64]


def model_inputs(classifier: Classifier, autoencoder: Autoencoder, images: Sequence[Upright]) -> ModelInputs:
    """Of images that `images.decode_for` gave for both."""
    rules = classifier.manifest.input, autoencoder.manifest.input
    large, small = (np.stack([resize(image, rule).pixels for image in images]) for rule in rules)
    return ModelInputs(large, small, np.array([image.smallest_side for image in images]))


def concatenated(shown: Sequence[ModelInputs]) -> ModelInputs:
    """Those of several images as one."""
    return ModelInputs(*(np.concatenate(column) for column in zip(*shown, strict=True)))


def signal_inputs(classifier: Classifier, autoencoder: Autoencoder, shown: ModelInputs) -> SignalInputs:
    """What both models give."""
    logits = classifier.logits(shown.classifier)
    measured = autoencoder.measure(shown.autoencoder)
    return SignalInputs(logits, *measured, shown.classifier, shown.smallest_side)
