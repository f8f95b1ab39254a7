"""The path from an image file's bytes to its difficulty: one decode for both models. Command line and service call
this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage.difficulty import Judgement
from phototriage.errors import UnknownLabel
from phototriage.images import ImageLimits, decode, resize
from phototriage.metrics import timed
from phototriage.models import Models
from phototriage.runtime import Autoencoder, OnnxModel
from phototriage.schemas import DifficultyAnswer, ReasonAnswer
from phototriage.signals import Seen
from phototriage.triage import DEFAULT_LIMITS, name_of, some_labels


def difficulty(
    models: Models,
    data: bytes,
    model: str | None = None,
    label: str | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> DifficultyAnswer:
    """How hard an image is for the named classifier or the default one, and why. `label`: what the caller takes it for.

    Raises what `images.decode` raises, UnknownModel, also for a classifier without a score, and UnknownLabel.
    """
    judge = models.judge(model)
    place = place_of(judge.classifier, label)
    with timed("decode"):
        image = decode(data, limits)
        shown = views(judge.classifier, judge.autoencoder, [image])
    with timed("model"):
        seen = see(judge.classifier, judge.autoencoder, shown)
    return answer(judge.classifier, judge.difficulty.judge(seen, [place])[0])


def place_of(classifier: OnnxModel, label: str | None) -> int | None:
    """Of a label among the classifier's. Raises UnknownLabel, which lists them."""
    if label is None:
        return None
    if label not in classifier.labels:
        raise UnknownLabel(f"{classifier.name} has no label {label[:64]!r}; it has {some_labels(classifier.labels)}.")
    return classifier.labels.index(label)


def answer(classifier: OnnxModel, judged: Judgement) -> DifficultyAnswer:
    """As the API gives it."""
    return DifficultyAnswer(
        model=name_of(classifier),
        score=judged.score,
        percentile=judged.percentile,
        review=judged.review,
        reasons=[ReasonAnswer(**vars(reason)) for reason in judged.reasons],
        components=judged.components,
    )


class Views(NamedTuple):
    """N decoded images as the two models are fed, uint8 (N, H, W, C) each, and the smallest side of each (N,)."""

    classifier: NDArray[np.uint8]
    autoencoder: NDArray[np.uint8]
    smallest_side: NDArray[np.int64]


def views(classifier: OnnxModel, autoencoder: Autoencoder, images: Sequence[Image.Image]) -> Views:
    """Of images that `images.decode` gave."""
    rules = classifier.manifest.input, autoencoder.manifest.input
    large, small = (np.stack([resize(image, rule).pixels for image in images]) for rule in rules)
    return Views(large, small, np.array([min(image.size) for image in images]))


def joined(shown: Sequence[Views]) -> Views:
    """Those of several images as one."""
    return Views(*(np.concatenate(column) for column in zip(*shown, strict=True)))


def see(classifier: OnnxModel, autoencoder: Autoencoder, shown: Views) -> Seen:
    """What both models give."""
    logits = classifier.logits(shown.classifier)
    measured = autoencoder.measure(shown.autoencoder)
    return Seen(logits, *measured, shown.classifier, shown.smallest_side)
