"""Many images at once, as the two models that difficulty needs are fed with them, and what these give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.difficulty.signals import Seen
from phototriage.images.pixels import resize
from phototriage.images.upright import Upright
from phototriage.models.autoencoder import Autoencoder
from phototriage.models.runtime import OnnxModel


class Views(NamedTuple):
    """N decoded images as the two models are fed, uint8 (N, H, W, C) each, and the smallest side of each (N,)."""

    classifier: NDArray[np.uint8]
    autoencoder: NDArray[np.uint8]
    smallest_side: NDArray[np.int64]


def views(classifier: OnnxModel, autoencoder: Autoencoder, images: Sequence[Upright]) -> Views:
    """Of images that `images.decode_for` gave for both."""
    rules = classifier.manifest.input, autoencoder.manifest.input
    large, small = (np.stack([resize(image, rule).pixels for image in images]) for rule in rules)
    return Views(large, small, np.array([image.smallest_side for image in images]))


def joined(shown: Sequence[Views]) -> Views:
    """Those of several images as one."""
    return Views(*(np.concatenate(column) for column in zip(*shown, strict=True)))


def see(classifier: OnnxModel, autoencoder: Autoencoder, shown: Views) -> Seen:
    """What both models give."""
    logits = classifier.logits(shown.classifier)
    measured = autoencoder.measure(shown.autoencoder)
    return Seen(logits, *measured, shown.classifier, shown.smallest_side)
