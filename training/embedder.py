"""Train an embedder for near-duplicates on a folder or tar of photos; no labels are needed.

    python -m training.embedder --data my_photos/ --name my_embedder
    python -m training.export --name my_embedder

Leaves runs/NAME/: run.json (decision, figures, settings, versions), best.pt and TensorBoard logs. Stopped and started
again with the same settings, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from phototriage.errors import PhototriageError
from phototriage.manifest import Data, Decision, Metric
from training.embedder_fit import EmbedderEpoch, EmbedderFit, similarities_of
from training.embedder_network import Embedder
from training.embedder_options import EmbedderOptions, parse
from training.embedder_progress import EmbedderProgress
from training.embedder_start import fit_head, labelled_pairs
from training.embedder_views import answers_for
from training.options import hardware
from training.pair_metrics import average_precision, counts_at
from training.pairs import PairSets
from training.photos import Photos, load_photos
from training.run import EmbedderRun, RunError, claim_folder, training_record, write_atomically, write_run
from training.splits import group_names
from training.thresholds import choose_folds, parse_aim, tune

START = "start.pt"
INTERRUPTED = 130  # what shells report for Ctrl-C


class Job:
    """One run of the command: what its parts share."""

    def __init__(self, given: argparse.Namespace, options: EmbedderOptions, photos: Photos) -> None:
        self.options, self.photos, self.command = options, photos, given.command
        self.folder: Path = given.runs / options.name
        self.device = torch.device(given.device)
        self.workers: int = given.workers
        torch.manual_seed(options.fit.seed)
        self.network = Embedder(options.network)
        self.network.trunk.load_packaged()

    def validation(self) -> PairSets:
        """Pairs of validation photos; look-alikes are chosen by the trunk as it is published."""
        numbers = np.random.default_rng((self.options.fit.seed, 2)).permutation(self.photos.numbers("val"))
        chosen = sorted(int(number) for number in numbers[: self.options.val_photos])
        kinds = [""] * len(chosen)
        if self.options.kind_by is not None:
            keys = [self.photos.photos[number].key for number in chosen]
            kinds = [name or "" for name in group_names(keys, self.options.kind_by)]
        return labelled_pairs(
            self.network,
            self.photos,
            chosen,
            kinds,
            self.options.rule,
            device=self.device,
            workers=self.workers,
            seed=self.options.fit.seed,
        )

    def start_head(self) -> None:
        """Begin with the head that a discriminant analysis finds on the frozen trunk."""
        path = self.folder / START
        if path.exists():
            self.network.head.load_state_dict(torch.load(path, weights_only=True))
            return
        print("head start: views of train photos through the frozen trunk", file=sys.stderr)
        fit_head(
            self.network,
            self.photos,
            self.options.rule,
            device=self.device,
            workers=self.workers,
            bf16=self.options.fit.bf16,
            seed=self.options.fit.seed,
        )
        write_atomically(path, self.network.head.state_dict())

    def fit(self, validation: PairSets) -> list[EmbedderEpoch]:
        """Train, or go on training, to the end; the network then holds the best epoch."""
        progress = EmbedderProgress(self.options.fit.epochs, self.folder)
        epochs = EmbedderFit(
            self.network,
            self.photos,
            validation,
            self.options.rule,
            self.options.fit,
            device=self.device,
            workers=self.workers,
            watcher=progress,
            folder=self.folder,
        ).run()
        progress.close()
        return epochs

    def folds(self, validation: PairSets) -> NDArray[np.int64]:
        """(n, 2): the folds of all validation pairs' sides. Raises TuningError where the photos are too few."""
        pairs = [*validation.everyday, *validation.hard]
        names = [photo.group for photo in self.photos.photos]
        groups = [(names[pair.left.photo], names[pair.right.photo]) for pair in pairs]
        return choose_folds(groups, np.array([pair.same for pair in pairs]))

    def decide(self, validation: PairSets, folds: NDArray[np.int64]) -> tuple[Decision, list[Metric]]:
        """The threshold from all validation pairs, and what it comes to on each set; in float32, as in serving."""
        pairs = [*validation.everyday, *validation.hard]
        similarities = similarities_of(
            pairs,
            lambda shots: answers_for(
                self.network,
                self.network,
                self.photos,
                shots,
                self.options.rule,
                device=self.device,
                workers=self.workers,
                bf16=False,
            ),
        )
        same = np.array([pair.same for pair in pairs])
        decision = tune(
            similarities, same, folds, self.options.aim, data=f"{self.photos.name}, val", sha256=self.photos.sha256
        )
        metrics = []
        edge = len(validation.everyday)
        for name, part in (("everyday", slice(None, edge)), ("hard", slice(edge, None))):
            found = counts_at(similarities[part], same[part], decision.threshold)
            values = {
                f"F1 of {name} pairs at {decision.threshold}": found.f1,
                f"average precision of {name} pairs": average_precision(similarities[part], same[part]),
            }
            metrics += [
                Metric(name=each, set=self.photos.name, split="val", n=len(same[part]), value=round(value, 5))
                for each, value in values.items()
            ]
        return decision, metrics

    def record(self, decision: Decision, metrics: Sequence[Metric]) -> EmbedderRun:
        """What the export needs to know of this run."""
        options = self.options
        return EmbedderRun(
            name=options.name,
            network=self.network.spec,
            input=options.rule,
            decision=decision,
            metrics=tuple(metrics),
            data=Data(
                name=self.photos.name, sha256=self.photos.sha256, licence=options.licence, images=self.photos.counts()
            ),
            training=training_record(
                self.command, options.model_dump(mode="json"), options.fit.seed, hardware(self.device)
            ),
        )


def train(given: argparse.Namespace, options: EmbedderOptions) -> EmbedderRun:
    """From photos to a finished run folder."""
    parse_aim(options.aim)
    photos = load_photos(given.data, group_by=options.group_by, val_keys=options.val_keys, leave_out=options.leave_out)
    for key, reason in photos.unreadable:
        print(f"skipped {key}: {reason}", file=sys.stderr)
    folder = given.runs / options.name
    if (folder / "run.json").exists() and not given.restart:
        raise RunError(f"{folder} holds a finished training: choose another --name, or --restart to train it again")
    settings = options.model_dump(mode="json") | {"data": photos.sha256}
    claim_folder(folder, json.dumps(settings, indent=2, sort_keys=True), restart=given.restart)
    job = Job(given, options, photos)
    counts = ", ".join(f"{count:,} {place}" for place, count in photos.counts().items())
    print(
        f"{photos.name}: {counts}; {options.size} px, {hardware(job.device)}{', bf16' if options.fit.bf16 else ''}",
        file=sys.stderr,
    )
    validation = job.validation()
    folds = job.folds(validation)  # first, since nobody wants to hear of too few photos after an hour
    job.start_head()
    job.fit(validation)
    run = job.record(*job.decide(validation, folds))
    write_run(run, job.folder)
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0 when done, 1 with a message where the photos or the folder can't be used, 130 when interrupted."""
    given, options = parse(arguments)
    try:
        run = train(given, options)
    except (PhototriageError, re.error) as error:
        print(f"error: {error.detail if isinstance(error, PhototriageError) else error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: the same command goes on from the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    for metric in run.metrics:
        print(f"{metric.name}, {metric.set} {metric.split} (n = {metric.n:,}): {metric.value:.4f}")
    print(f"threshold {run.decision.threshold}; next: python -m training.export --name {options.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
