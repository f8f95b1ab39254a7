"""The score by reference networks and an autoencoder; answers replace it where the classifier has features."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from phototriage.common.atomic_writes import atomic_file
from phototriage.common.file_names import printable
from phototriage.difficulty.config import ReferenceNetworks
from phototriage.difficulty.predictor import Difficulty
from phototriage.images.pixels import resize
from phototriage.model_folder.manifest import Metric
from phototriage.models.autoencoder import Autoencoder
from training.data.dataset import Dataset
from training.difficulty import metrics as difficulty_metrics
from training.difficulty.fit import FittedOn, HeldOut, fit, fit_latent_map
from training.difficulty.prepared import Work, batches_of
from training.references.cross_fit import reference_network
from training.references.options import references_of

FOLDS = 5


class Fitted(NamedTuple):
    """A score, and its figures."""

    difficulty: Difficulty
    metrics: list[Metric]


class Truth(NamedTuple):
    """Probabilities that reference networks gave images that they hadn't seen: (S, n, K) of train images, one network a
    seed; (2 · S, m, K) of validation images."""

    train: NDArray[np.float32]
    val: NDArray[np.float32]


def latents(autoencoder: Autoencoder, data: Dataset, rows: Sequence[int]) -> NDArray[np.float32]:
    """(n, D), of images as serving would feed them."""
    found = []
    for batch in batches_of(rows):
        images = [resize(data.image(row), autoencoder.manifest.input).pixels for row in batch]
        found.append(autoencoder.measure(np.stack(images)).latent)
    return np.concatenate(found)


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
                    "key": [printable(record.key) for record in records],
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


def fit_by_references(work: Work, autoencoder: Autoencoder) -> Fitted:
    """The score, and figures of what it goes by."""
    given, data, train, val = work.given, work.data, work.train, work.val
    place = given.runs / f"{given.classifier}_difficulty"
    place.mkdir(parents=True, exist_ok=True)
    references, seeds = references_of(given, data), range(given.seeds)
    reference = references.settings
    truth = Truth(references.cross_fit(train, seeds), references.unseen(train, val, seeds))
    write_truth(place / "truth.parquet", data, {"train": np.array(train), "val": np.array(val)}, truth)
    labels = data.targets[val]
    wrong = difficulty_metrics.mistakes(truth.val, labels)
    print(f"reference networks are wrong about {wrong.mean():.1%} of {len(val):,} validation images", file=sys.stderr)
    latent_map = fit_latent_map(latents(autoencoder, data, train), data.targets[train], truth.train)
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
        group_by=work.group_by,
    )
    held_out = HeldOut(work.seen(), labels, wrong, data.folds(FOLDS)[val])
    answered = work.answered()
    if answered is not None:
        held_out = replace(held_out, seen=held_out.seen._replace(features=answered.features))
    answering = None if answered is None else answered.answering
    found, scores = fit(held_out, latent_map, given.workload, fitted_on, answering)
    if answered is not None:  # the score goes by answers, so these are what has figures
        return Fitted(found, answered.metrics)
    split = "val, other folds"
    return Fitted(found, difficulty_metrics.figures(scores, wrong, held_out.own, given.workload, data.name, split))
