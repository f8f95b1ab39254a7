"""Train an embedder for near-duplicates on a folder or tar of photos; no labels are needed.

    python -m training.embedder --data my_photos/ --name my_embedder
    python -m training.export --name my_embedder

Leaves runs/NAME/: run.json (decision, figures, settings, versions), best.pt and TensorBoard logs. Stopped and started
again with the same settings, it goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.images.input_config import InputConfig
from phototriage.model_folder.manifest import Decision, Metric
from training.data.photos import Photos, load_photos
from training.data.splits import group_names
from training.embedder.discriminant_head import HEAD_PHOTOS, HEAD_SHRINKAGE, fit_head, labelled_pairs
from training.embedder.fit import EmbedderEpoch, EmbedderFit
from training.embedder.options import EmbedderOptions, parse
from training.embedder.views import outputs_for
from training.loop.command import print_skipped, run_command
from training.loop.compute import Compute
from training.loop.options import compute_of, run_fields
from training.loop.progress import TrainingProgress
from training.loop.run_folder import (
    BEST,
    EmbedderRun,
    claim_folder,
    refuse_finished,
    write_atomically,
    write_run,
)
from training.networks.embedder import Embedder
from training.pairs.labelled_pairs import Pair, PairSets, similarities_of, uploads_of, validation_figures
from training.pairs.metrics import average_precision, best_f1, counts_at
from training.pairs.thresholds import choose_folds, parse_aim, tune

START, LAST_HEAD = "start.pt", "head.pt"
LAST_HEAD_PHOTOS, LAST_HEAD_SHRINKAGE = 6000, 0.3  # chosen on validation photos of the shipped embedder
# Near the best fit to reposts and hard negatives of the shipped embedder's train photos, among some hundred settings.
RESCORING = LayoutRescoring(floor=0.8, weight=0.7, doubt=0.16, doubt_from=0.2, doubt_most=0.95)


class Similarities(NamedTuple):
    """Of pairs (n,): the cosine, and what layout re-scoring makes of it."""

    plain: NDArray[np.float64]
    rescored: NDArray[np.float64]


def validation_pairs(
    network: Embedder,
    photos: Photos,
    options: EmbedderOptions,
    rule: InputConfig,
    compute: Compute,
    *,
    most: int | None,
) -> PairSets:
    """Pairs of at most so many validation photos; hard negatives are chosen by the network's backbone as it is."""
    numbers = np.random.default_rng((options.fit.seed, 2)).permutation(photos.numbers("val"))
    chosen = sorted(int(number) for number in numbers[:most])
    kinds = [""] * len(chosen)
    if options.kind_by is not None:
        kinds = [name or "" for name in group_names([photos.photos[number].key for number in chosen], options.kind_by)]
    return labelled_pairs(network, photos, chosen, kinds, rule, compute, seed=options.fit.seed)


class Job:
    """One run of the command: what its parts share."""

    def __init__(self, given: argparse.Namespace, options: EmbedderOptions, photos: Photos) -> None:
        self.options, self.photos = options, photos
        self.folder: Path = given.runs / options.name
        self.compute = compute_of(given)
        torch.manual_seed(options.fit.seed)
        self.network = Embedder(options.network)
        self.network.backbone.load_packaged()

    def validation(self) -> PairSets:
        """Pairs of validation photos; hard negatives are chosen by the backbone as it is published."""
        options = self.options
        return validation_pairs(self.network, self.photos, options, options.rule, self.compute, most=options.val_photos)

    def start_head(self) -> None:
        """Begin with the head that a discriminant analysis finds on the frozen backbone."""
        path = self.folder / START
        if path.exists():
            self.network.head.load_state_dict(torch.load(path, weights_only=True))
            return
        print("linear-probe initialisation: views of train photos through the frozen backbone", file=sys.stderr)
        self._fit_head(HEAD_PHOTOS, HEAD_SHRINKAGE)
        write_atomically(path, self.network.head.state_dict())

    def _fit_head(self, most: int, shrinkage: float) -> None:
        seed = self.options.fit.seed
        fit_head(self.network, self.photos, self.options.rule, self.compute, seed=seed, most=most, shrinkage=shrinkage)

    def fit(self, validation: PairSets) -> list[EmbedderEpoch]:
        """Train, or go on training, to the end; the network then holds the best epoch."""
        return EmbedderFit(
            self.network,
            self.photos,
            validation,
            self.options.rule,
            self.options.fit,
            compute=self.compute,
            watcher=TrainingProgress(self.options.fit.epochs, self.folder, epochs_alike=False),
            folder=self.folder,
        ).run()

    def finish_head(self, validation: PairSets) -> None:
        """Put the head that a discriminant analysis finds on the trained backbone in the place of the trained head, if
        it does better on validation."""
        head, path = self.network.head, self.folder / LAST_HEAD
        if path.exists():
            head.load_state_dict(torch.load(path, weights_only=True))
            return
        trained = {name: value.clone() for name, value in head.state_dict().items()}
        before = self._score(validation)
        print("head: views of train photos through the trained backbone", file=sys.stderr)
        self._fit_head(LAST_HEAD_PHOTOS, LAST_HEAD_SHRINKAGE)
        after = self._score(validation)
        print(f"head: {before:.4f} as trained, {after:.4f} by discriminant analysis", file=sys.stderr)
        if after <= before:
            head.load_state_dict(trained)
        write_atomically(self.folder / BEST, self.network.state_dict())
        write_atomically(path, head.state_dict())

    def _score(self, validation: PairSets) -> float:
        return sum(self.figures(validation).values())

    def figures(self, validation: PairSets) -> dict[str, float]:
        """Best F1 and average precision of both sets, with layout re-scoring, by the network as it is now."""
        return validation_figures(validation, lambda pairs: self._similarities(pairs).rescored)

    def _similarities(self, pairs: Sequence[Pair]) -> Similarities:
        """Of validation pairs, in float32, as in serving."""
        rows = outputs_for(
            self.network,
            self.network,
            self.photos,
            uploads_of(pairs),
            self.options.rule,
            self.compute.in_float32(),
            with_layout=True,
        )
        return Similarities(
            plain=similarities_of(pairs, rows[:, : -layout.DIMENSION]),
            rescored=similarities_of(pairs, rows, RESCORING),
        )

    def folds(self, validation: PairSets) -> NDArray[np.int64]:
        """(n, 2): the folds of all validation pairs' sides. Raises TuningError where the photos are too few."""
        pairs = [*validation.everyday, *validation.hard]
        names = [photo.group for photo in self.photos.photos]
        groups = [(names[pair.left.photo], names[pair.right.photo]) for pair in pairs]
        return choose_folds(groups, np.array([pair.same for pair in pairs]))

    def decide(self, validation: PairSets, folds: NDArray[np.int64]) -> tuple[Decision, list[Metric]]:
        """The threshold from all validation pairs, with layout re-scoring if that pays, and what comes of it."""
        pairs = [*validation.everyday, *validation.hard]
        same = np.array([pair.same for pair in pairs])
        found = self._similarities(pairs)
        pays = best_f1(found.rescored, same) > best_f1(found.plain, same)
        similarities = found.rescored if pays else found.plain
        decision = tune(
            similarities,
            same,
            folds,
            self.options.aim,
            data=f"{self.photos.name}, val",
            sha256=self.photos.sha256,
            layout_rescoring=RESCORING if pays else None,
        )
        metrics = []
        edge = len(validation.everyday)
        for name, part in (("everyday", slice(None, edge)), ("hard", slice(edge, None))):
            values = {
                f"F1 of {name} pairs at {decision.threshold}": counts_at(
                    similarities[part], same[part], decision.threshold
                ).f1,
                f"average precision of {name} pairs": average_precision(similarities[part], same[part]),
            }
            metrics += [
                Metric(name=each, set=self.photos.name, split="val", n=len(same[part]), value=round(value, 5))
                for each, value in values.items()
            ]
        return decision, metrics


def train(given: argparse.Namespace, options: EmbedderOptions) -> EmbedderRun:
    """From photos to a finished run folder."""
    parse_aim(options.aim)
    photos = load_photos(given.data, group_by=options.group_by, val_keys=options.val_keys, leave_out=options.leave_out)
    print_skipped(photos.unreadable)
    folder = given.runs / options.name
    refuse_finished(folder, restart=given.restart)
    # The aim is left out: it decides the threshold, not the weights.
    settings = options.model_dump(mode="json", exclude={"aim"}) | {"data": photos.sha256}
    claim_folder(folder, settings, restart=given.restart)
    job = Job(given, options, photos)
    counts = ", ".join(f"{count:,} {place}" for place, count in photos.counts().items())
    print(f"{photos.name}: {counts}; {options.size} px, {job.compute}", file=sys.stderr)
    validation = job.validation()
    folds = job.folds(validation)  # first, since nobody wants to hear of too few photos after an hour
    job.start_head()
    job.fit(validation)
    job.finish_head(validation)
    decision, metrics = job.decide(validation, folds)
    run = EmbedderRun(
        **run_fields(given.command, options, photos, metrics, job.compute),
        network=job.network.spec,
        decision=decision,
    )
    write_run(run, job.folder)
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its answer is that of `run_command`."""
    given, options = parse(arguments)
    return run_command(lambda: train(given, options))
