"""Fit the difficulty score of an exported classifier, with an exported autoencoder, on the images of both.

    python -m training.difficulty --data my_photos/ --classifier my_model --autoencoder my_autoencoder

Small reference networks learn halves of the train images and answer for images that they haven't seen (cross-fit); the
score is fitted to predict, from what one pass of the two models gives for a validation image, whether such a network is
wrong about it. Writes the score into the classifier's folder: manifest, difficulty.npz, card. Leaves the networks in
runs/references/, and runs/CLASSIFIER_difficulty/truth.parquet: for each train and validation image how often they were
wrong, their loss, and whether it is in the hardest fifth of its class. Started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from phototriage.common.atomic_writes import atomic_file
from phototriage.common.progress import Progress
from phototriage.difficulty.config import FILE_NAME, ReferenceNetworks
from phototriage.difficulty.predictor import Difficulty, write
from phototriage.difficulty.signals import SignalInputs
from phototriage.images.pixels import resize
from phototriage.images.upright import whole
from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import Manifest, Metric
from phototriage.models.autoencoder import Autoencoder
from phototriage.models.classifier import Classifier
from phototriage.models.loading import load_autoencoder, load_model
from phototriage.settings import Settings
from phototriage.triage.assessment import concatenated, model_inputs, signal_inputs
from training.data.dataset import NO_LABEL, Dataset
from training.data.loading import load
from training.difficulty import metrics as difficulty_metrics
from training.difficulty.answering import Photos, answer, joined
from training.difficulty.fit import FittedOn, HeldOut, fit, fit_latent_map
from training.export.card import rewrite_card, with_difficulty
from training.export.model_folder import MODELS, read_metrics
from training.loop.command import as_line, exit_status, print_skipped
from training.loop.options import add_compute_options
from training.loop.run_folder import RUNS, RunError
from training.references.cross_fit import reference_network
from training.references.options import (
    QUICK_EPOCHS,
    QUICK_SEEDS,
    add_reference_options,
    check_reference_options,
    references_of,
)
from training.sources.files import DataError

BATCH = 32
FOLDS = 5
FEW = 200  # images, below which the calibration has less than its ten groups


class Truth(NamedTuple):
    """Probabilities that reference networks gave images that they hadn't seen: (S, n, K) of train images, one network a
    seed; (2 · S, m, K) of validation images."""

    train: NDArray[np.float32]
    val: NDArray[np.float32]


def all_signal_inputs(
    classifier: Classifier, autoencoder: Autoencoder, data: Dataset, rows: Sequence[int]
) -> SignalInputs:
    """What serving would see of these images."""
    found = []
    for batch in _batches(rows):
        shown = [model_inputs(classifier, autoencoder, [whole(data.image(row))]) for row in batch]
        found.append(signal_inputs(classifier, autoencoder, concatenated(shown)))
    return joined(found)


def latents(autoencoder: Autoencoder, data: Dataset, rows: Sequence[int]) -> NDArray[np.float32]:
    """(n, D), of images as serving would feed them."""
    found = []
    for batch in _batches(rows):
        images = [resize(data.image(row), autoencoder.manifest.input).pixels for row in batch]
        found.append(autoencoder.measure(np.stack(images)).latent)
    return np.concatenate(found)


def _batches(rows: Sequence[int]) -> Iterator[list[int]]:
    """With lines on stderr of how far it is."""
    progress = Progress(len(rows))
    for start in range(0, len(rows), BATCH):
        batch = [int(row) for row in rows[start : start + BATCH]]
        yield batch
        progress.step(len(batch))


def checked(data: Dataset, group_by: str | None, classifier: Manifest, autoencoder: Manifest) -> None:
    """Raises DataError where the set isn't one that the classifier answers for; tells where a model may have learned
    from images that are to measure it."""
    if data.labels != classifier.labels:
        raise DataError(
            f"{data.name} has the classes {', '.join(data.labels)}; {classifier.name} answers "
            f"{', '.join(classifier.labels)}. Give the images that it was trained on."
        )
    for one in (classifier, autoencoder):
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


def write_truth(path: Path, data: Dataset, rows: dict[str, NDArray[np.int64]], truth: Truth) -> None:
    """Columns key, split, label, wrong (a share), loss (nats), hard (the hardest fifth of its class in its split)."""
    tables = []
    for split, answers in (("train", truth.train), ("val", truth.val)):
        labels = data.targets[rows[split]]
        loss = difficulty_metrics.losses(answers, labels)
        records = [data.records[int(row)] for row in rows[split]]
        tables.append(
            pa.table(
                {
                    "key": [record.key for record in records],
                    "split": [split] * len(records),
                    "label": [data.labels[int(label)] for label in labels],
                    "wrong": difficulty_metrics.mistakes(answers, labels).mean(0),
                    "loss": loss,
                    "hard": difficulty_metrics.hard_subset(loss, labels),
                }
            )
        )
    with atomic_file(path) as part:
        pq.write_table(pa.concat_tables(tables), part)


def fit_score(given: argparse.Namespace) -> tuple[Manifest, list[Metric]]:
    """From images and models to a written score. Returns the classifier's new manifest and the score's figures."""
    settings = Settings(provider="cpu")
    folder = given.models / given.classifier
    classifier = load_model(folder, settings)
    autoencoder = load_autoencoder(given.models / given.autoencoder, settings)
    if not isinstance(classifier, Classifier):
        raise RunError(f"{given.classifier} is of kind {classifier.manifest.kind!r}; difficulty is a classifier's.")
    group_by = given.group_by or classifier.manifest.training.settings.get("group_by")
    data = load(given.data, group_by=group_by)
    print_skipped(data.unreadable)
    checked(data, group_by, classifier.manifest, autoencoder.manifest)
    data.require_all_classes(("train", "val"))
    rows = {"train": data.indices("train"), "val": data.indices("val")}
    place = given.runs / f"{given.classifier}_difficulty"
    place.mkdir(parents=True, exist_ok=True)
    references, seeds = references_of(given, data), range(given.seeds)
    reference = references.settings
    train, val = ([int(row) for row in rows[split]] for split in ("train", "val"))
    truth = Truth(references.cross_fit(train, seeds), references.unseen(train, val, seeds))
    write_truth(place / "truth.parquet", data, rows, truth)
    labels = {split: data.targets[rows[split]] for split in rows}
    wrong = difficulty_metrics.mistakes(truth.val, labels["val"])
    if len(val) < FEW:
        print(
            f"note: {len(val)} validation images are few, so scores will be rough; take {FEW} or more", file=sys.stderr
        )
    print(f"reference networks are wrong about {wrong.mean():.1%} of {len(val):,} validation images", file=sys.stderr)
    latent = latents(autoencoder, data, train)
    latent_map = fit_latent_map(latent, labels["train"], truth.train)
    held_out = HeldOut(
        all_signal_inputs(classifier, autoencoder, data, val), labels["val"], wrong, data.folds(FOLDS)[rows["val"]]
    )
    fitted_on = FittedOn(
        autoencoder=autoencoder.name,
        autoencoder_version=autoencoder.manifest.version,
        reference=ReferenceNetworks(
            trunk="small_cnn",
            size=reference.size,
            epochs=reference.epochs,
            parameters=sum(weight.numel() for weight in reference_network(len(data.labels), 0).parameters()),
            networks=len(wrong),
            mistakes=round(float(wrong.mean()), 5),
        ),
        data=data.name,
        sha256=data.sha256,
        group_by=group_by,
    )
    photos = Photos(data, train, val, given.foreign)
    answered = answer(photos, folder, classifier.manifest, settings, references.compute)
    if answered is not None:
        held_out = replace(held_out, seen=held_out.seen._replace(features=answered.features))
    answering = None if answered is None else answered.answering
    found, scores = fit(held_out, latent_map, given.workload, fitted_on, answering)
    measured = read_metrics(given.metrics) if given.metrics else ()
    metrics = difficulty_metrics.figures(scores, wrong, held_out.own, given.workload, data.name, "val, other folds")
    metrics += [] if answered is None else answered.metrics
    return write_score(found, (*measured, *metrics), folder), metrics


def write_score(found: Difficulty, metrics: Sequence[Metric], folder: Path) -> Manifest:
    """Put score and figures into the folder: the file, the card, and last the manifest."""
    described = manifest.read(folder)
    kept = [metric for metric in described.metrics if not metric.name.startswith(difficulty_metrics.PREFIX)]
    described = described.model_copy(update={"difficulty": found.config, "metrics": (*kept, *metrics)})
    # File and manifest belong together, so one comes right behind the other.
    sha256 = manifest.sha256_of(write(found, folder))
    written = manifest.write(described.model_copy(update={"files": described.files | {FILE_NAME: sha256}}), folder)
    rewrite_card(folder, lambda text: with_difficulty(text, described))
    return written


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.difficulty", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder or tar that both models were trained on")
    add("--classifier", required=True, help="name of an exported classifier")
    add("--autoencoder", required=True, help="name of an exported autoencoder")
    add("--group-by", metavar="REGEX", help="default: as the classifier was trained")
    add("--workload", type=_share, default=0.1, help="share of images to send for review, the hardest (default: .1)")
    add("--foreign", type=Path, metavar="FOLDER", help="images of none of the classes; drawn and mixed ones without it")
    add_reference_options(parser)
    add_compute_options(parser)
    add("--quick", action="store_true", help=f"{QUICK_EPOCHS} epochs and {QUICK_SEEDS} seeds of reference networks")
    add("--metrics", type=Path, metavar="JSON", help="figures to put into manifest and card, such as a benchmark's")
    add("--models", type=Path, default=MODELS)
    add("--runs", type=Path, default=RUNS)
    given = parser.parse_args(arguments)
    try:
        check_reference_options(given)
    except ValueError as error:
        parser.error(str(error))
    return given


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"it is {text}, and a share goes from 0 to 1")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0 when written, 1 with a message when not, 130 when interrupted."""
    given = parse(arguments)

    def work() -> None:
        written, metrics = fit_score(given)
        for metric in metrics:
            print(as_line(metric))
        assert written.difficulty is not None
        print(f"{written.name}: version {written.version}; review from a score of {written.difficulty.review_from}")
        print("The server takes it up at its next start, or at once: POST /v1/models/reload")

    return exit_status(work, consequence="nothing was written: ", goes_on="the last reference network")
