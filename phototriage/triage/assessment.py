"""Many images at once, as the models that difficulty needs are fed with them, and what these give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.difficulty.signals import SignalInputs
from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import resize
from phototriage.images.upright import Upright
from phototriage.models.autoencoder import Autoencoder
from phototriage.models.classifier import Classifier


class ModelInputs(NamedTuple):
    """N decoded images as the models are fed, uint8 (N, H, W, C) each, and the smallest side of each (N,). autoencoder:
    None where there is none."""

    classifier: NDArray[np.uint8]
    autoencoder: NDArray[np.uint8] | None
    smallest_side: NDArray[np.int64]


def model_inputs(classifier: Classifier, autoencoder: Autoencoder | None, images: Sequence[Upright]) -> ModelInputs:
    """Of images that `images.decode_for` gave for both."""

    def resized(config: InputConfig) -> NDArray[np.uint8]:
        return np.stack([resize(image, config).pixels for image in images])

    small = None if autoencoder is None else resized(autoencoder.manifest.input)
    return ModelInputs(resized(classifier.manifest.input), small, np.array([image.smallest_side for image in images]))


def concatenated(inputs: Sequence[ModelInputs]) -> ModelInputs:
    """Those of several images as one."""
    small = [each.autoencoder for each in inputs if each.autoencoder is not None]
    return ModelInputs(
        np.concatenate([each.classifier for each in inputs]),
        np.concatenate(small) if small else None,
        np.concatenate([each.smallest_side for each in inputs]),
    )


def signal_inputs(classifier: Classifier, autoencoder: Autoencoder | None, inputs: ModelInputs) -> SignalInputs:
    """What the models give."""
    outputs = classifier.run(inputs.classifier, None)
    measured = None
    if autoencoder is not None and inputs.autoencoder is not None:
        measured = autoencoder.measure(inputs.autoencoder)
    return SignalInputs(outputs.logits, inputs.classifier, inputs.smallest_side, measured, outputs.features)
