"""Replicas of a classifier, each trained on one half of the train images. What they get wrong of the other half is
mistakes of the classifier's kind, in numbers that one can learn from.

A network without published weights is trained by the classifier's own recipe. With such weights that would take as
long as the classifier took; there the last stages alone are tuned, on what the others give for each image as it is.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from phototriage.common.atomic_writes import atomic_file
from phototriage.common.progress import Progress
from phototriage.difficulty.signals import Features
from phototriage.model_folder.manifest import Manifest
from phototriage.settings import Settings
from training.answers.features import FeatureReader, Seen, read_rows
from training.classifier.fit import Fit
from training.classifier.job import build
from training.classifier.linear_probe import copy_into, fit_head
from training.classifier.options import Options
from training.classifier.progress import ClassifierProgress
from training.data.dataset import Dataset
from training.gradient_graph.graph import build_onnx
from training.loop.compute import Compute
from training.loop.evaluation import predict
from training.networks.classifier import Classifier
from training.references.cross_fit import HALVES, halves

EPOCHS = 3  # where the last stages alone are tuned
TUNED_STAGES = 3
MOST_TUNED = 8000  # images, whose maps fill memory
CHOOSING = 7  # every such image chooses the regularisation of the head that a replica begins with
VERSION = 2  # of what is kept; to be raised with any of these
MOST_LEARNED = 3000  # images whose features say what a replica has seen


class Answer(NamedTuple):
    """What a replica gives for train images: for those that it hasn't learned, `unseen`, and for some that it has;
    both with their rows in the set."""

    unseen_rows: NDArray[np.int64]
    unseen: Seen
    learned_rows: NDArray[np.int64]
    learned: Seen


def recipe_of(manifest: Manifest, compute: Compute) -> Options | None:
    """How the classifier was trained; None if another command made it."""
    try:
        options = Options.model_validate(dict(manifest.training.settings))
    except ValidationError:
        return None
    return options.model_copy(update={"fit": options.fit.model_copy(update={"bf16": compute.bf16})})


def train_replicas(
    data: Dataset, train: Sequence[int], manifest: Manifest, settings: Settings, compute: Compute, folder: Path
) -> list[Answer]:
    """The answers of two replicas, one for each half of the images `train`. They are kept in `folder`, and so are the
    checkpoints of those that are trained whole: an interrupted call loses a tuned replica at most. Empty, with a note
    on stderr, for a classifier that another command made, or where a half lacks a class."""
    recipe = recipe_of(manifest, compute)
    if recipe is None:
        print(f"note: {manifest.name} has no replicas, since another command made it", file=sys.stderr)
        return []
    half = halves(data, train, recipe.fit.seed)
    parts = [[row for row, one in zip(train, half, strict=True) if one == wanted] for wanted in range(HALVES)]
    if any(data.missing_classes(part) for part in parts):
        print(f"note: {manifest.name} has no replicas, since a half of its images lacks a class", file=sys.stderr)
        return []
    return [
        _replica(data, (parts[number], parts[1 - number]), recipe, settings, compute, folder)
        for number in range(HALVES)
    ]


def _replica(
    data: Dataset,
    parts: tuple[list[int], list[int]],
    recipe: Options,
    settings: Settings,
    compute: Compute,
    folder: Path,
) -> Answer:
    """parts: the rows that it learns, and those that it is asked about."""
    learns, unseen = parts
    rng = np.random.default_rng(recipe.fit.seed)
    some = np.sort(rng.permutation(learns)[:MOST_LEARNED])
    place = folder / f"replica_{_digest(data, parts, recipe)}"
    path = place / "answers.npz"
    if not path.exists():
        place.mkdir(parents=True, exist_ok=True)
        network = _trained(data, learns, recipe, settings, compute, place)
        reader = _reader(network.cpu(), recipe, settings)
        _keep(path, {"unseen": read_rows(reader, data, unseen), "learned": read_rows(reader, data, some.tolist())})
    with np.load(path) as file:
        seen = [
            Seen(file[f"{name}_logits"], Features(file[f"{name}_inner"], file[f"{name}_last"]))
            for name in ("unseen", "learned")
        ]
    return Answer(np.asarray(unseen), seen[0], some, seen[1])


def _reader(network: Classifier, recipe: Options, settings: Settings) -> FeatureReader:
    rule = recipe.rule
    return FeatureReader(build_onnx(network, rule), "logits", rule, "a replica", settings)


def _trained(
    data: Dataset, learns: Sequence[int], recipe: Options, settings: Settings, compute: Compute, place: Path
) -> Classifier:
    network = build(recipe, len(data.labels))
    if recipe.weights != "none":  # the head begins as a regression on the published features, as it did there
        values = read_rows(_reader(network, recipe, settings), data, learns).features.last.astype(np.float32)
        labels = data.targets[list(learns)]
        chooses = choosing(labels)
        chosen = chooses if chooses.any() else ~chooses
        copy_into(network, fit_head(values[~chooses], labels[~chooses], values[chosen], labels[chosen]))
    network.to(compute.device).to(memory_format=torch.channels_last)
    if recipe.weights != "none":
        tune(network, data, learns, recipe, compute)
        return network
    title = f"replica of {recipe.name}, {len(learns):,} images: "
    watcher = ClassifierProgress(recipe.fit.epochs, title=title)
    rule = recipe.rule
    Fit(network, data, learns, [], rule, recipe.fit, compute=compute, watcher=watcher, folder=place).run()
    return network


def choosing(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,): every seventh image, but none of a class that would have no other left."""
    chosen: NDArray[np.bool_] = np.arange(len(labels)) % CHOOSING == 0
    for label in np.setdiff1d(labels, labels[~chosen]):
        chosen &= labels != label
    return chosen


def tune(network: Classifier, data: Dataset, learns: Sequence[int], recipe: Options, compute: Compute) -> None:
    """Train the last stages and the head for EPOCHS: by the recipe's learning rate, weight decay and smoothed labels,
    with the published statistics, without augmentation and erasing."""
    settings, rng = recipe.fit, np.random.default_rng(recipe.fit.seed)
    chosen = np.sort(rng.permutation(learns)[:MOST_TUNED]).tolist()
    stages = network.stages()
    frozen, tuned = nn.Sequential(*stages[:-TUNED_STAGES]), nn.Sequential(*stages[-TUNED_STAGES:])
    maps = predict(
        network, data, chosen, recipe.rule, compute, output=lambda pixels: frozen(network.backbone.scaled(pixels))
    )
    labels = torch.from_numpy(data.targets[chosen])
    network.freeze(len(frozen))
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = EPOCHS * (len(chosen) // settings.batch_size + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=steps, pct_start=0.1)
    progress = Progress(EPOCHS * len(chosen), title=f"a replica of {recipe.name}: ")
    torch.manual_seed(settings.seed)  # of the dropout
    network.eval()
    for _ in range(EPOCHS):
        for batch in np.array_split(rng.permutation(len(chosen)), max(1, len(chosen) // settings.batch_size)):
            with compute.precision():
                pooled = tuned(torch.from_numpy(maps[batch]).to(compute.device)).mean((2, 3))
                logits = network.head(F.dropout(pooled, network.spec.dropout))
            target = labels[batch].to(compute.device)
            loss = F.cross_entropy(logits.float(), target, label_smoothing=settings.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            progress.step(len(batch))


def _keep(path: Path, answers: Mapping[str, Seen]) -> None:
    arrays: dict[str, NDArray[np.floating]] = {}
    for name, seen in answers.items():
        arrays |= {f"{name}_logits": seen.logits, f"{name}_inner": seen.features.inner}
        arrays[f"{name}_last"] = seen.features.last
    with atomic_file(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _digest(data: Dataset, parts: tuple[list[int], list[int]], recipe: Options) -> str:
    """Of what decides a replica: the images and labels of both parts, and the recipe."""
    digest = hashlib.sha256(f"{VERSION}".encode())
    recipe_text = recipe.model_dump(mode="json", exclude={"name", "licence"}) | {
        "fit": recipe.fit.model_dump(mode="json")
    }
    digest.update(json.dumps(recipe_text, sort_keys=True).encode())
    for part in parts:
        digest.update(b"|")
        for row in part:
            digest.update(f"{data.records[row].sha256} {data.records[row].label}\n".encode())
    return digest.hexdigest()[:16]
