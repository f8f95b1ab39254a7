"""Train a classifier on a folder or tar of class sub-folders.

    python -m training.classifier --data my_photos/ --name my_model
    python -m training.export --name my_model

Leaves runs/NAME/: run.json (figures, settings, versions), best.pt, TensorBoard logs, and a picture an epoch of what
FeatOut hid. Stopped and started again with the same settings, it goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phototriage.model_folder.manifest import Metric
from training.classifier.fit import Fit
from training.classifier.linear_probe import copy_into, fit_head, regression_logits
from training.classifier.options import Options, parse
from training.classifier.progress import ClassifierProgress
from training.data.dataset import Dataset
from training.data.loading import load
from training.loop.command import print_skipped, run_command
from training.loop.compute import Compute
from training.loop.evaluation import accuracy_metric, predict
from training.loop.options import compute_of, run_fields
from training.loop.run_folder import (
    ClassifierRun,
    claim_folder,
    read_run,
    refuse_finished,
    write_atomically,
    write_run,
)
from training.networks.backbones import EfficientNetLite0, MobileNetV3Small
from training.networks.classifier import Classifier, NetworkSpec
from training.sources.layouts import Split

START = "start.pt"


def build(options: Options, classes: int) -> Classifier:
    """The network with its starting weights; the head is random by the seed."""
    torch.manual_seed(options.fit.seed)
    channels: Literal[1, 3] = 3 if options.colour == "rgb" else 1
    network = Classifier(NetworkSpec(backbone=options.backbone, classes=classes, channels=channels))
    if isinstance(network.backbone, EfficientNetLite0) and options.weights == "packaged":
        network.backbone.load_packaged()
    elif isinstance(network.backbone, MobileNetV3Small) and options.weights == "torchvision":
        network.backbone.load_torchvision()
    return network


def prepare_folder(folder: Path, options: Options, data: Dataset, given: argparse.Namespace) -> None:
    """Make the run's folder, or check that the one there belongs to the same settings and data.

    A finished run is taken up again only if it has not seen the test split yet and now may.
    """
    if given.skip_test or not _is_without_test(folder):
        refuse_finished(folder, restart=given.restart)
    claim_folder(folder, options.model_dump(mode="json") | {"data": data.sha256}, restart=given.restart)


def _is_without_test(folder: Path) -> bool:
    """Whether a finished run has not seen the test split."""
    return (folder / "run.json").exists() and all(metric.split != "test" for metric in read_run(folder)[0].metrics)


class Job:
    """One run of the command: what its parts share."""

    def __init__(self, given: argparse.Namespace, options: Options, data: Dataset) -> None:
        self.options, self.data = options, data
        self.folder: Path = given.runs / options.name
        self.compute = compute_of(given)
        self.indices = {split: [int(i) for i in data.indices(split)] for split in ("train", "val", "test")}
        self.reported: tuple[Split, ...] = ("val",) if given.skip_test else ("val", "test")
        self.network = build(options, len(data.labels))

    def start_head(self) -> list[Metric]:
        """Begin with a logistic regression on the frozen backbone's features (linear-probe initialisation), and report
        how good that is alone."""
        path = self.folder / START
        if path.exists():
            kept = torch.load(path, weights_only=True)
            metrics = [Metric.model_validate_json(text) for text in kept["metrics"]]
            if {metric.split for metric in metrics} >= set(self.reported):
                self.network.head.load_state_dict(kept["head"])
                return metrics
        print("linear-probe initialisation: features of the frozen backbone", file=sys.stderr)
        self.network.to(self.compute.device).to(memory_format=torch.channels_last)
        values = {split: self._predict(split, self.compute, self.network.pooled) for split in ("train", *self.reported)}
        labels = {split: self.data.targets[self.indices[split]] for split in values}
        model = fit_head(values["train"], labels["train"], values["val"], labels["val"])
        copy_into(self.network, model)
        name = "accuracy of a logistic regression on the frozen backbone"
        metrics = [
            accuracy_metric(regression_logits(model, values[split]), labels[split], self.data.name, split, name)
            for split in self.reported
        ]
        print("\n".join(f"{metric.name}, {metric.split}: {metric.value:.4f}" for metric in metrics), file=sys.stderr)
        state = {"head": self.network.head.state_dict(), "metrics": [metric.model_dump_json() for metric in metrics]}
        write_atomically(path, state)
        return metrics

    def _predict(
        self, split: str, compute: Compute, output: Callable[[Tensor], Tensor] | None = None
    ) -> NDArray[np.float32]:
        return predict(self.network, self.data, self.indices[split], self.options.rule, compute, output=output)

    def fit(self) -> None:
        """Train, or go on training, to the end; the network then holds the best epoch."""
        Fit(
            self.network,
            self.data,
            self.indices["train"],
            self.indices["val"],
            self.options.rule,
            self.options.fit,
            compute=self.compute,
            watcher=ClassifierProgress(self.options.fit.epochs, self.folder),
            folder=self.folder,
        ).run()

    def evaluate(self) -> list[Metric]:
        """Accuracy of the best epoch, in float32: the arithmetic of serving."""
        metrics = []
        for split in self.reported:
            logits = self._predict(split, self.compute.in_float32())
            metrics.append(accuracy_metric(logits, self.data.targets[self.indices[split]], self.data.name, split))
        return metrics


def train(given: argparse.Namespace, options: Options) -> ClassifierRun:
    """From data to a finished run folder."""
    data = load(given.data, group_by=options.group_by)
    print_skipped(data.unreadable)
    data.require_all_classes()
    prepare_folder(given.runs / options.name, options, data, given)
    torch.backends.cudnn.deterministic = True
    job = Job(given, options, data)
    print(
        f"{data.name}: {len(data.labels)} classes, "
        + ", ".join(f"{len(indices):,} {split}" for split, indices in job.indices.items())
        + f"; {options.backbone} at {options.size} px, {job.compute}",
        file=sys.stderr,
    )
    metrics = job.start_head() if options.weights != "none" else []
    job.fit()
    run = ClassifierRun(
        **run_fields(given.command, options, data, metrics + job.evaluate(), job.compute),
        network=job.network.spec,
        labels=data.labels,
        featout=options.fit.featout,
    )
    write_run(run, job.folder)
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its answer is that of `run_command`."""
    given, options = parse(arguments)
    return run_command(lambda: train(given, options))
