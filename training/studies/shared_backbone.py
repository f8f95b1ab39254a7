"""Can one pass of one backbone answer what two backbones do: the class, and the embedding for near-duplicates?

    python -m training.studies.shared_backbone --classes cats_dogs.tar --photos caltech101.tar house_photos.tar
        [--classifier exported_models/cats_dogs] [--embedder exported_models/near_duplicates]

E0: both models as shipped. E1: the class by a logistic regression on the embedder's backbone. E2: the embedding from
the classifier's backbone, with the last layer that a discriminant analysis finds. E3: both models at one input size, so
that the first stages, whose weights both have from the published backbone, are computed once. E4: the published
backbone, for reference. Everything runs in ONNX Runtime, as served. Validation splits only: what the embedder's
manifest leaves out and the classes' test split are never measured on. Regressions choose their strength on folds of the
train images; a pair is decided by the threshold that is best for the pairs of photos of other folds. Prints Markdown
tables, also of what each way costs, and keeps features in runs/shared_backbone/, so that it goes on where it was: half
an hour of one core the first time, four minutes then.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from phototriage.images.input_config import InputConfig
from phototriage.settings import Settings
from training.data.loading import load
from training.data.photos import load_photos
from training.embedder.discriminant_head import head_shots
from training.embedder.job import LAST_HEAD_PHOTOS, validation_pairs
from training.embedder.options import EmbedderOptions
from training.export.model_folder import MODELS
from training.loop.compute import Compute, hardware
from training.loop.run_folder import RUNS, claim_folder, package_versions
from training.pairs.labelled_pairs import PairSets, Shot, uploads_of
from training.sources.layouts import Split
from training.statistics.intervals import RESAMPLES
from training.studies.backbone_classes import class_arms, class_table
from training.studies.backbone_costs import cost_table, stage_table
from training.studies.backbone_features import describe, hidden, kept
from training.studies.backbone_graphs import Floats, Images, Runner, common_stages, stages_of
from training.studies.backbone_models import BACKBONES, Models, published
from training.studies.backbone_pairs import Truth, decided, pair_arms, pair_table
from training.studies.command import run_study, study_parser


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = study_parser("training.studies.shared_backbone", __doc__)
    add = parser.add_argument
    add("--classes", type=Path, required=True, help="the images of the classifier's training")
    add("--photos", type=Path, nargs="+", required=True, help="the photos of the embedder's training")
    add("--classifier", type=Path, default=MODELS / "cats_dogs", help="folder of an exported classifier")
    add("--embedder", type=Path, default=MODELS / "near_duplicates", help="folder of an exported embedder")
    add("--head-photos", type=int, default=LAST_HEAD_PHOTOS, help="at most, to fit a last layer to")
    add("--val-photos", type=int, help="at most, drawn, to make pairs of (default: all)")
    add("--rounds", type=int, default=100, help="of timing")
    add("--seed", type=int, default=0)
    add("--name", default="shared_backbone", help="of the folder below runs/")
    add("--runs", type=Path, default=RUNS)
    add("--restart", action="store_true", help="throw kept features away")
    return parser.parse_args(arguments)


class Study:
    """One run of the command: what its parts share."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.settings = Settings(provider="cpu", threads=1)
        self.models = Models.read(given.classifier, given.embedder)
        self.options = EmbedderOptions.model_validate(self.models.embedder.training.settings)
        self.data = load(given.classes, group_by=self.models.classifier.training.settings.get("group_by"))
        choice = {name: getattr(self.options, name) for name in ("group_by", "val_keys", "leave_out")}
        self.photos = load_photos(given.photos, **choice)
        for one, sha256 in ((self.models.classifier, self.data.sha256), (self.models.embedder, self.photos.sha256)):
            if one.data.sha256 != sha256:
                print(f"note: {one.name} learned from other images: some may be among these", file=sys.stderr)
        self.folder: Path = given.runs / given.name
        chosen = {name: getattr(given, name) for name in ("head_photos", "val_photos", "seed")}
        versions = {one.name: one.version for one in self.models[:2]}
        claim = chosen | versions | {"classes": self.data.sha256, "photos": self.photos.sha256}
        claim_folder(self.folder, claim, restart=given.restart)
        self.runners = self.models.runners(self.settings)

    def classes(self) -> str:
        """The table of the class."""

        def features(
            split: Split, leads: tuple[str, ...], change: Callable[[Images, Sequence[int]], Images] | None = None
        ) -> dict[str, Floats]:
            rows = [int(row) for row in self.data.indices(split)]

            def altered(pixels: Images, start: int) -> Images:
                return change(pixels, rows[start : start + len(pixels)]) if change else pixels

            return describe(map(self.data.image, rows), len(rows), self.some(*leads), altered)

        train = self.kept("train", lambda: features("train", BACKBONES))
        clean = self.kept("val", lambda: features("val", (*BACKBONES, "logits")))
        covered = self.kept("hidden", lambda: features("val", (*BACKBONES, "logits"), hidden))
        rows = self.data.indices("val")
        groups = np.unique([self.data.records[int(row)].group for row in rows], return_inverse=True)[1]
        arms = class_arms(self.models, self.data, train, clean, covered)
        return class_table(arms, self.data.targets[rows], groups, self.given.seed)

    def pairs(self) -> PairSets:
        """Of validation photos; hard negatives are chosen by the backbone as it is published."""
        embedder = self.models.embedder
        most = self.given.val_photos
        return validation_pairs(published(embedder), self.photos, self.options, embedder.input, Compute(), most=most)

    def embeddings(self) -> list[str]:
        """The tables of near-duplicates, with what each is."""
        pairs = self.pairs()
        truth = Truth.of(pairs, self.photos)
        shots = head_shots(self.photos, self.options.fit.seed, self.given.head_photos)
        uploads = uploads_of([*pairs.everyday, *pairs.hard])
        backbones = (*BACKBONES, "classifier")
        views = self.kept("views", lambda: self.shown(shots, backbones))
        described = self.kept("pairs", lambda: self.shown(uploads, (*backbones, "layout")))
        arms = pair_arms(self.models, views, described, truth)
        found = {aim: [decided(arm.similarities, truth, aim) for arm in arms] for aim in (self.options.aim, "f1")}
        called = {aim: [flags for flags, _ in each] for aim, each in found.items()}
        limits = [
            f"{arm.name}: "
            + ", ".join(f"{each[place][1][0]:.3f} to {each[place][1][-1]:.3f}" for each in found.values())
            for place, arm in enumerate(arms)
        ]
        texts = [f"Thresholds of the folds, aims {' and '.join(found)}: {'; '.join(limits)}"]
        for name, chosen in truth.parts().items():
            texts.append(
                f"Duplicates: {name}, validation, n = {int(chosen.sum()):,}, {int(truth.same[chosen].sum()):,} the same"
            )
            texts.append(pair_table(arms, called, truth, chosen, self.given.seed))
        return texts

    def shown(self, shots: Sequence[Shot], leads: Sequence[str]) -> dict[str, Floats]:
        return describe((shot.of(self.photos) for shot in shots), len(shots), self.some(*leads))

    def some(self, *leads: str) -> dict[str, tuple[InputConfig, Runner]]:
        """The runners whose names begin so."""
        return {name: run for name, run in self.runners.items() if name.startswith(leads)}

    def kept(self, name: str, make: Callable[[], dict[str, Floats]]) -> dict[str, Floats]:
        return kept(self.folder / f"{name}.npz", make)

    def text(self) -> str:
        """All tables."""
        models, given = self.models, self.given
        stages = stages_of(models.logits, models.embedding)
        count = common_stages(stages)
        versions = package_versions() | {"onnxruntime": onnxruntime.__version__}
        notes = [
            *(f"{one.name} {one.version}" for one in (models.classifier, models.embedder)),
            "95 % intervals: of shares by Wilson, of all else by "
            f"{RESAMPLES:,} draws of groups of photos, thresholds as they are",
            f"p by McNemar; seed {given.seed}; {hardware(torch.device('cpu'))}",
            ", ".join(f"{name} {version}" for name, version in versions.items()),
        ]
        return "\n\n".join(
            [
                f"Weights of both backbones: the first {count} of {len(stages)} stages are the same",
                stage_table(stages),
                f"CPU time of one image, 1 thread, medians of {given.rounds} rounds (10 % to 90 %)",
                cost_table(models, count, self.settings, given.rounds),
                f"The class: {self.data.name}, validation, n = {len(self.data.indices('val')):,}",
                self.classes(),
                *self.embeddings(),
                "; ".join(notes),
            ]
        )


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    torch.set_num_threads(1)
    return run_study(lambda: Study(given).text())


if __name__ == "__main__":
    sys.exit(main())
