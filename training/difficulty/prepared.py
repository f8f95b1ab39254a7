"""What fitting a difficulty works with: models, and the images that they learned and that were held out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from phototriage.common.progress import Progress
from phototriage.difficulty.signals import SignalInputs
from phototriage.images.upright import whole
from phototriage.model_folder.manifest import Manifest
from phototriage.models.autoencoder import Autoencoder
from phototriage.models.classifier import Classifier
from phototriage.models.loading import load_autoencoder, load_model
from phototriage.settings import Settings
from phototriage.triage.assessment import concatenated, model_inputs, signal_inputs
from training.answers.answering import Answered, Photos, answer, joined
from training.data.dataset import NO_LABEL, Dataset
from training.data.loading import load
from training.loop.command import print_skipped
from training.loop.options import compute_of
from training.loop.run_folder import RunError
from training.sources.files import DataError

BATCH = 32
FEW = 200  # images, below which a calibration has less than its ten groups
REPLICAS = "replicas"  # below runs/


@dataclass(frozen=True)
class Work:
    """Models and images of one call. autoencoder: if one is given. train, val: rows of the set."""

    given: argparse.Namespace
    settings: Settings
    classifier: Classifier
    autoencoder: Autoencoder | None
    data: Dataset
    group_by: str | None
    train: list[int]
    val: list[int]

    @property
    def folder(self) -> Path:
        folder: Path = self.given.models / self.given.classifier
        return folder

    def seen(self) -> SignalInputs:
        """What serving would see of the held-out images."""
        return all_signal_inputs(self.classifier, self.autoencoder, self.data, self.val)

    def answered(self) -> Answered | None:
        """Answers by the classifier's features, if it has such."""
        photos = Photos(self.data, self.train, self.val, self.given.foreign)
        kept = self.given.runs / REPLICAS
        return answer(photos, self.folder, self.classifier.manifest, self.settings, compute_of(self.given), kept)


def prepare(given: argparse.Namespace) -> Work:
    """Load models and images. Raises RunError and DataError where they don't belong together."""
    settings = Settings(provider="cpu")
    classifier = load_model(given.models / given.classifier, settings)
    autoencoder = None if given.autoencoder is None else load_autoencoder(given.models / given.autoencoder, settings)
    if not isinstance(classifier, Classifier):
        raise RunError(f"{given.classifier} is of kind {classifier.manifest.kind!r}; difficulty is a classifier's.")
    group_by = given.group_by or classifier.manifest.training.settings.get("group_by")
    data = load(given.data, group_by=group_by)
    print_skipped(data.unreadable)
    manifests = [classifier.manifest, *([] if autoencoder is None else [autoencoder.manifest])]
    checked(data, group_by, manifests)
    data.require_all_classes(("train", "val"))
    train, val = ([int(row) for row in data.indices(split)] for split in ("train", "val"))
    if len(val) < FEW:
        print(
            f"note: {len(val)} validation images are few, so scores will be rough; take {FEW} or more", file=sys.stderr
        )
    return Work(given, settings, classifier, autoencoder, data, group_by, train, val)


def all_signal_inputs(
    classifier: Classifier, autoencoder: Autoencoder | None, data: Dataset, rows: Sequence[int]
) -> SignalInputs:
    """What serving would see of these images."""
    found = []
    for batch in batches_of(rows):
        shown = [model_inputs(classifier, autoencoder, [whole(data.image(row))]) for row in batch]
        found.append(signal_inputs(classifier, autoencoder, concatenated(shown)))
    return joined(found)


def batches_of(rows: Sequence[int]) -> Iterator[list[int]]:
    """With lines on stderr of how far it is."""
    progress = Progress(len(rows))
    for start in range(0, len(rows), BATCH):
        batch = [int(row) for row in rows[start : start + BATCH]]
        yield batch
        progress.step(len(batch))


def checked(data: Dataset, group_by: str | None, models: Sequence[Manifest]) -> None:
    """Raises DataError where the set isn't one that the classifier answers for; tells where a model may have learned
    from images that are to measure it. models: the classifier first."""
    classifier = models[0]
    if data.labels != classifier.labels:
        raise DataError(
            f"{data.name} has the classes {', '.join(data.labels)}; {classifier.name} answers "
            f"{', '.join(classifier.labels)}. Give the images that it was trained on."
        )
    for one in models:
        how = "on another set than" if one.data.sha256 not in (data.sha256, without_labels(data).sha256) else ""
        if not how and one.training.settings.get("group_by") != group_by:
            how = "with another --group-by on"
        if how:
            print(
                f"note: {one.name} was trained {how} {data.name}; if it learned from some of these validation images, "
                "the score takes them for easier than they are",
                file=sys.stderr,
            )


def without_labels(data: Dataset) -> Dataset:
    """As an autoencoder loads it that ignores classes."""
    return replace(data, labels=(), records=tuple(replace(record, label=NO_LABEL) for record in data.records))
