"""Train a classifier on a folder or tar of class sub-folders.

    python -m training.classifier --data my_photos/ --name my_model
    python -m training.export --name my_model

Leaves runs/NAME/: run.json (figures, settings, versions), best.pt, TensorBoard logs, and a picture an epoch of what
FeatOut hid. Stopped and started again with the same settings, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from phototriage.model_folder.manifest import Data, Metric
from training.classifier.fit import Fit
from training.classifier.linear_probe import features, fit_head, regression_logits, take_up
from training.classifier.options import Options, hardware, parse
from training.classifier.progress import Progress
from training.data.dataset import Dataset
from training.data.loading import load
from training.loop.command import run_command
from training.loop.evaluation import accuracy_metric, predict
from training.loop.run import (
    ClassifierRun,
    RunError,
    claim_folder,
    read_run,
    training_record,
    write_atomically,
    write_run,
)
from training.networks.classifier import Classifier, EfficientNetLite0, MobileNetV3Small, NetworkSpec
from training.sources.layouts import Split

START = "start.pt"


def build(options: Options, classes: int) -> Classifier:
    """The network with its starting weights; the head is random by the seed."""
    torch.manual_seed(options.fit.seed)
    channels: Literal[1, 3] = 3 if options.colour == "rgb" else 1
    network = Classifier(NetworkSpec(trunk=options.trunk, classes=classes, channels=channels))
    if isinstance(network.trunk, EfficientNetLite0) and options.weights == "packaged":
        network.trunk.load_packaged()
    elif isinstance(network.trunk, MobileNetV3Small) and options.weights == "torchvision":
        network.trunk.load_torchvision()
    return network


def prepare_folder(folder: Path, options: Options, data: Dataset, given: argparse.Namespace) -> None:
    """Make the run's folder, or check that the one there belongs to the same settings and data.

    A finished run is taken up again only if it has not seen the test split yet and now may.
    """
    fingerprint = json.dumps(options.model_dump(mode="json") | {"data": data.sha256}, indent=2, sort_keys=True)
    finished = (folder / "run.json").exists() and not given.restart
    if finished and (given.skip_test or any(one.split == "test" for one in read_run(folder)[0].metrics)):
        raise RunError(f"{folder} holds a finished training: choose another --name, or --restart to train it again")
    claim_folder(folder, fingerprint, restart=given.restart)


class Job:
    """One run of the command: what its parts share."""

    def __init__(self, given: argparse.Namespace, options: Options, data: Dataset) -> None:
        self.options, self.data = options, data
        self.command = given.command
        self.folder: Path = given.runs / options.name
        self.device = torch.device(given.device)
        self.workers: int = given.workers
        self.indices = {split: [int(i) for i in data.indices(split)] for split in ("train", "val", "test")}
        self.reported: tuple[Split, ...] = ("val",) if given.skip_test else ("val", "test")
        self.network = build(options, len(data.labels))

    def start_head(self) -> list[Metric]:
        """Begin with a logistic regression on the frozen trunk's features, and report how good that is alone."""
        path = self.folder / START
        if path.exists():
            kept = torch.load(path, weights_only=True)
            metrics = [Metric.model_validate_json(one) for one in kept["metrics"]]
            if {one.split for one in metrics} >= set(self.reported):
                self.network.head.load_state_dict(kept["head"])
                return metrics
        print("head start: features of the frozen trunk", file=sys.stderr)
        self.network.to(self.device).to(memory_format=torch.channels_last)
        values = {
            split: features(
                self.network,
                self.data,
                self.indices[split],
                self.options.rule,
                device=self.device,
                workers=self.workers,
                bf16=self.options.fit.bf16,
            )
            for split in ("train", *self.reported)
        }
        labels = {split: self.data.targets[self.indices[split]] for split in values}
        model = fit_head(values["train"], labels["train"], values["val"], labels["val"])
        take_up(self.network, model)
        name = "accuracy of a logistic regression on the frozen trunk"
        metrics = [
            accuracy_metric(regression_logits(model, values[split]), labels[split], self.data.name, split, name)
            for split in self.reported
        ]
        print("\n".join(f"{one.name}, {one.split}: {one.value:.4f}" for one in metrics), file=sys.stderr)
        state = {
            "head": self.network.head.state_dict(),
            "metrics": [one.model_dump_json() for one in metrics],
        }
        write_atomically(path, state)
        return metrics

    def fit(self) -> None:
        """Train, or go on training, to the end; the network then holds the best epoch."""
        progress = Progress(self.options.fit.epochs, self.folder)
        Fit(
            self.network,
            self.data,
            self.indices["train"],
            self.indices["val"],
            self.options.rule,
            self.options.fit,
            device=self.device,
            workers=self.workers,
            watcher=progress,
            folder=self.folder,
        ).run()
        progress.close()

    def evaluate(self) -> list[Metric]:
        """Accuracy of the best epoch, in float32: the arithmetic of serving."""
        metrics = []
        for split in self.reported:
            logits = predict(
                self.network,
                self.data,
                self.indices[split],
                self.options.rule,
                device=self.device,
                workers=self.workers,
            )
            labels = self.data.targets[self.indices[split]]
            metrics.append(accuracy_metric(logits, labels, self.data.name, split))
        return metrics

    def record(self, metrics: Sequence[Metric]) -> ClassifierRun:
        """What the export needs to know of this run."""
        options = self.options
        return ClassifierRun(
            name=options.name,
            network=self.network.spec,
            input=options.rule,
            labels=self.data.labels,
            featout=options.fit.featout,
            metrics=tuple(metrics),
            data=Data(
                name=self.data.name,
                sha256=self.data.sha256,
                licence=options.licence,
                images=self.data.counts(),
            ),
            training=training_record(
                self.command, options.model_dump(mode="json"), options.fit.seed, hardware(self.device)
            ),
        )


def train(given: argparse.Namespace, options: Options) -> ClassifierRun:
    """From data to a finished run folder."""
    data = load(given.data, group_by=options.group_by)
    for key, reason in data.unreadable:
        print(f"skipped {key}: {reason}", file=sys.stderr)
    data.require_all_classes()
    prepare_folder(given.runs / options.name, options, data, given)
    torch.backends.cudnn.deterministic = True
    job = Job(given, options, data)
    print(
        f"{data.name}: {len(data.labels)} classes, "
        + ", ".join(f"{len(indices):,} {split}" for split, indices in job.indices.items())
        + f"; {options.trunk} at {options.size} px, {hardware(job.device)}{', bf16' if options.fit.bf16 else ''}",
        file=sys.stderr,
    )
    metrics = job.start_head() if options.weights != "none" else []
    job.fit()
    run = job.record(metrics + job.evaluate())
    write_run(run, job.folder)
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its answer is that of `run_command`."""
    given, options = parse(arguments)
    return run_command(lambda: train(given, options))
