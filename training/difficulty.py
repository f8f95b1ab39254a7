"""Fit the difficulty score of an exported classifier, with an exported autoencoder, on the images of both.

    python -m training.difficulty --data my_photos/ --classifier my_model --autoencoder my_autoencoder

Small reference networks learn halves of the train images and answer for images that they haven't seen (cross-fit); the
score is fitted to predict, from what one pass of the two models gives for a validation image, whether such a network is
wrong about it. Writes the score into the classifier's folder: manifest, difficulty.npz, card. Leaves in
runs/CLASSIFIER_difficulty/ the reference networks and truth.parquet: for each train and validation image how often they
were wrong, their loss, and whether it is in the hardest fifth of its class. Started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from phototriage import manifest
from phototriage.assessment import see, views
from phototriage.difficulty import Difficulty, write
from phototriage.difficulty_rule import FILE_NAME, ReferenceNetworks
from phototriage.errors import PhototriageError
from phototriage.manifest import Manifest, Metric
from phototriage.progress import Progress
from phototriage.runtime import Autoencoder, OnnxModel, load_autoencoder, load_model
from phototriage.settings import Settings
from phototriage.signals import Seen, signals
from training import difficulty_metrics
from training.card import CARD, with_difficulty
from training.command import INTERRUPTED, told
from training.cross_fit import References, ReferenceSettings, reference_network
from training.data import load
from training.dataset import Dataset
from training.difficulty_fit import FittedOn, class_centres, fit, out_of_fold
from training.export import MODELS
from training.files import DataError
from training.options import use_bf16
from training.run import RUNS, RunError

BATCH = 32
FOLDS = 5
QUICK_EPOCHS = 3


class Truth(NamedTuple):
    """Probabilities that reference networks gave images that they hadn't seen: (S, n, K) of train images, one network a
    seed; (2 · S, m, K) of validation images."""

    train: NDArray[np.float32]
    val: NDArray[np.float32]


def see_all(classifier: OnnxModel, autoencoder: Autoencoder, data: Dataset, rows: Sequence[int]) -> Seen:
    """What serving would see of these images."""
    progress = Progress(len(rows))
    found = []
    for start in range(0, len(rows), BATCH):
        images = [data.image(int(row)) for row in rows[start : start + BATCH]]
        found.append(see(classifier, autoencoder, views(classifier, autoencoder, images)))
        progress.step(len(images))
    return Seen(*(np.concatenate(column) for column in zip(*found, strict=True)))


def checked(data: Dataset, classifier: Manifest, autoencoder: Manifest) -> None:
    """Raises DataError where the set isn't one that the classifier answers for; tells where a model may have learned
    from images that are to judge it."""
    if data.labels != classifier.labels:
        raise DataError(
            f"{data.name} has the classes {', '.join(data.labels)}; {classifier.name} answers "
            f"{', '.join(classifier.labels)}. Give the images that it was trained on."
        )
    for one in (classifier, autoencoder):
        if one.data.sha256 != data.sha256:
            print(
                f"note: {one.name} was trained on another set than {data.name}; if that held some of these validation "
                "images, the score takes them for easier than they are",
                file=sys.stderr,
            )


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
    part = path.with_name(path.name + ".part")
    pq.write_table(pa.concat_tables(tables), part)
    part.replace(path)


def fit_score(given: argparse.Namespace) -> tuple[Manifest, list[Metric]]:
    """From images and models to a written score. Returns the classifier's new manifest and the score's figures."""
    settings = Settings(provider="cpu")
    folder = given.models / given.classifier
    classifier = load_model(folder, settings)
    autoencoder = load_autoencoder(given.models / given.autoencoder, settings)
    if classifier.manifest.kind != "classifier":
        raise RunError(f"{given.classifier} is of kind {classifier.manifest.kind!r}; difficulty is a classifier's.")
    group_by = given.group_by or classifier.manifest.training.settings.get("group_by")
    data = load(given.data, group_by=group_by)
    for key, reason in data.unreadable:
        print(f"skipped {key}: {reason}", file=sys.stderr)
    checked(data, classifier.manifest, autoencoder.manifest)
    data.require_all_classes(("train", "val"))
    rows = {"train": data.indices("train"), "val": data.indices("val")}
    place = given.runs / f"{given.classifier}_difficulty"
    device = torch.device(given.device)
    reference = ReferenceSettings(
        size=given.reference_size, epochs=given.reference_epochs, bf16=use_bf16(given.precision, device)
    )
    references = References(data, reference, place, device, given.workers)
    seeds = range(given.seeds)
    train, val = ([int(row) for row in rows[split]] for split in ("train", "val"))
    truth = Truth(references.cross_fit(train, seeds), references.unseen(train, val, seeds))
    write_truth(place / "truth.parquet", data, rows, truth)
    labels = {split: data.targets[rows[split]] for split in rows}
    wrong = difficulty_metrics.mistakes(truth.val, labels["val"])
    print(f"reference networks are wrong about {wrong.mean():.1%} of {len(val):,} validation images", file=sys.stderr)
    latent = see_all(classifier, autoencoder, data, train).latent
    trusted = difficulty_metrics.mistakes(truth.train, labels["train"]).mean(0) < 0.5
    centres = class_centres(latent, labels["train"], trusted)
    seen = see_all(classifier, autoencoder, data, val)
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
    )
    found = fit(seen, labels["val"], centres, wrong, given.workload, fitted_on)
    scores = out_of_fold(signals(seen, centres), wrong, data.folds(FOLDS)[rows["val"]])
    own = seen.logits.argmax(1) != labels["val"]
    metrics = difficulty_metrics.figures(scores, wrong, own, given.workload, data.name, "val, other folds")
    return write_score(found, metrics, folder), metrics


def write_score(found: Difficulty, metrics: Sequence[Metric], folder: Path) -> Manifest:
    """Put score and figures into the folder: the file, the card, and last the manifest."""
    described = manifest.read(folder)
    write(found, folder)
    kept = [metric for metric in described.metrics if not metric.name.startswith(difficulty_metrics.PREFIX)]
    described = described.model_copy(
        update={
            "difficulty": found.rule,
            "files": described.files | {FILE_NAME: manifest.sha256_of(folder / FILE_NAME)},
            "metrics": (*kept, *metrics),
        }
    )
    card = folder / CARD
    if card.is_file():
        part = card.with_name(CARD + ".part")
        part.write_text(with_difficulty(card.read_text(encoding="utf-8"), described), encoding="utf-8")
        part.replace(card)
    return manifest.write(described, folder)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.difficulty", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder or tar that both models were trained on")
    add("--classifier", required=True, help="name of an exported classifier")
    add("--autoencoder", required=True, help="name of an exported autoencoder")
    add("--group-by", metavar="REGEX", help="default: as the classifier was trained")
    add("--workload", type=_share, default=0.1, help="share of images to send for review, the hardest (default: .1)")
    add("--seeds", type=int, default=3, help="of reference networks, two networks each")
    add("--reference-epochs", type=int, default=12)
    add("--reference-size", type=int, default=64, help="input side of reference networks in pixels")
    add("--precision", choices=["auto", "float32", "bf16"], default="auto")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--workers", type=int, default=1, help="processes that decode images (0: none)")
    add("--quick", action="store_true", help=f"{QUICK_EPOCHS} epochs and 2 seeds of reference networks")
    add("--models", type=Path, default=MODELS)
    add("--runs", type=Path, default=RUNS)
    given = parser.parse_args(arguments)
    if given.quick:
        given.seeds, given.reference_epochs = 2, QUICK_EPOCHS
    if given.seeds < 1:
        parser.error(f"--seeds {given.seeds}: one at least")
    if given.reference_epochs < 1 or given.reference_size < 8 or given.reference_size % 8:
        parser.error("--reference-epochs is 1 or more, --reference-size a multiple of 8")
    return given


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"it is {text}, and a share goes from 0 to 1")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0 when written, 1 with a message when not, 130 when interrupted."""
    given = parse(arguments)
    try:
        written, metrics = fit_score(given)
    except PhototriageError as error:
        print(f"error: nothing was written: {error.detail}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: the same command goes on from the last reference network", file=sys.stderr)
        return INTERRUPTED
    for metric in metrics:
        print(told(metric))
    assert written.difficulty is not None
    print(f"{written.name}: version {written.version}; review from a score of {written.difficulty.review_from}")
    print("The server takes it up at its next start: make serve")
    return 0


if __name__ == "__main__":
    sys.exit(main())
