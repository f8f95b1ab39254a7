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
    configs = classifier.manifest.input, autoencoder.manifest.input
    large, small = (np.stack([resize(image, config).pixels for image in images]) for config in configs)
    return ModelInputs(large, small, np.array([image.smallest_side for image in images]))


def concatenated(inputs: Sequence[ModelInputs]) -> ModelInputs:
    """Those of several images as one."""
    return ModelInputs(*(np.concatenate(column) for column in zip(*inputs, strict=True)))


def signal_inputs(classifier: Classifier, autoencoder: Autoencoder, inputs: ModelInputs) -> SignalInputs:
    """What both models give."""
    outputs = classifier.run(inputs.classifier, None)
    measured = autoencoder.measure(inputs.autoencoder)
    return SignalInputs(outputs.logits, *measured, inputs.classifier, inputs.smallest_side, outputs.features)
