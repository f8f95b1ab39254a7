"""What a classifier's difficulty tells of images that nothing was fitted on, beside what costs nothing.

    python -m benchmarks.difficulty --data cats_dogs.tar --model cats_dogs [--on test] [--families]
        [--foreign objects=caltech101.tar rooms=house_photos.tar --leave-out 'dalmatian|wild_cat|cougar|leopards']

Prints Markdown: how the answers and single signals find the classifier's own mistakes, the mistakes of good models of
other families (`--families`: linear layers on backbones of the extra `bench`), and images that are none of the classes;
and whether probabilities are what they say. Differences are paired over the images. `--ensemble` names classifiers that
other seeds have trained on the same images: what the mean of their probabilities tells is the costly ceiling.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from benchmarks import other_families
from benchmarks.difficulty_picture import save_picture
from benchmarks.difficulty_scorers import Bank, scored
from benchmarks.difficulty_tables import Flags, bounds, families_table, foreign_table, mistakes_table, reliability_line
from phototriage.common.errors import PhototriageError
from phototriage.difficulty.config import METRIC_PREFIX
from phototriage.difficulty.signals import Floats, entropy, softmax
from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import Metric
from phototriage.models.model_set import DifficultyModels, load_models
from phototriage.settings import Settings
from training.answers.features import FeatureReader, read_rows
from training.answers.foreign import on_white
from training.data.dataset import Dataset
from training.data.loading import load
from training.drawings.kinds import KINDS, draw_set
from training.loop.compute import hardware
from training.loop.evaluation import metric_of
from training.loop.run_folder import RUNS, RunError
from training.sources.layouts import Split
from training.statistics import mistakes as metrics
from training.statistics.intervals import Figure

MOST_FOREIGN = 300  # images of a kind
EACH_DRAWN = 20  # of a kind of drawing
BANKED = 2000  # train images for nearest neighbours
SEED = 11  # of drawings and noise: not that which answers are fitted with
CEILING, TWO_VIEWS = "ensemble", "entropy, mirrored too"


def foreign_kinds(given: argparse.Namespace) -> dict[str, list[Image.Image]]:
    """Photos of the sets that were given, drawn pages, noise."""
    rng = np.random.default_rng(SEED)
    kinds = {}
    for name, path in given.foreign:
        data = load(path, labelled=False)
        rows = [
            row
            for row, record in enumerate(data.records)
            if not (given.leave_out and re.search(given.leave_out, record.key, re.IGNORECASE))
        ]
        kinds[name] = [data.image(int(row)) for row in rng.permutation(rows)[:MOST_FOREIGN]]
    kinds["drawn pages"] = [on_white(image) for kind in KINDS for image in draw_set(kind, EACH_DRAWN, SEED)]
    kinds["noise"] = [
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).resize((240, 240), Image.Resampling.BICUBIC)
        for side in np.repeat([8, 30, 240], 30)
    ]
    return kinds


def two_views(reader: FeatureReader, data: Dataset, rows: Sequence[int]) -> Floats:
    """(n,): the entropy of the mean of an image's probabilities and its mirror image's, at twice the cost."""
    mirrored = reader.read([ImageOps.mirror(data.image(row)) for row in rows]).logits
    return entropy((softmax(read_rows(reader, data, rows).logits) + softmax(mirrored)) / 2)


def ensemble(given: argparse.Namespace, name: str, data: Dataset, rows: Sequence[int]) -> Floats:
    """(n,): the entropy of the mean of all members' probabilities."""
    settings, found = Settings(provider="cpu"), []
    for folder in (given.models / name, *given.ensemble):
        reader = FeatureReader.of(folder, manifest.read(folder), settings)
        found.append(softmax(read_rows(reader, data, rows).logits))
    return entropy(np.mean(found, axis=0))


@dataclass
class Figures:
    """What a manifest is to have of a benchmark on `split` of the set `name`."""

    name: str
    split: str
    kept: list[Metric] = field(default_factory=list)

    def keep(self, what: str, statistic: metrics.Statistic, score: Floats, truth: Flags) -> None:
        low, high = bounds(lambda rows: statistic(score[rows], truth[rows]), len(truth))
        figure = Figure(statistic(score, truth), low, high, len(truth))
        self.kept.append(metric_of(METRIC_PREFIX + what, figure, self.name, self.split, digits=4))


def measure(given: argparse.Namespace, served: DifficultyModels, data: Dataset) -> list[Metric]:
    """Print all, and return what a manifest is to have."""
    split, name = given.on, served.classifier.name
    train, rows = ([int(row) for row in data.indices(one)] for one in ("train", split))
    reader = FeatureReader.of(given.models / name, served.classifier.manifest, Settings(provider="cpu"))
    some = np.random.default_rng(SEED).permutation(train)[:BANKED].tolist()
    bank = Bank.of(read_rows(reader, data, some).features)
    found = scored(served, [data.image(row) for row in rows], bank)
    values, own = dict(found.values), found.predicted != data.targets[rows]
    values[TWO_VIEWS] = two_views(reader, data, rows)
    if given.ensemble:
        values[CEILING] = ensemble(given, name, data, rows)
    figures = Figures(data.name, split)
    print(f"## {name}, {data.name} {split}, {len(rows):,} images\n\n### Its own {own.sum()} mistakes\n")
    if own.any() and not own.all():
        print(mistakes_table(values, "p_error", own))
        print(f"\n{reliability_line('p_error', values['p_error'], own[np.newaxis])}")
        for scorer in ("p_error", "entropy"):
            figures.keep(f"AUROC of its own {own.sum()} mistakes, {scorer}", metrics.auroc, values[scorer], own)
    if given.families:
        strong = {
            family: other_families.mistakes(data, train, rows, family, given.runs / "other_families")
            for family in other_families.FAMILIES
        }
        every = np.concatenate(list(strong.values()))
        hard = every.mean(0) >= 0.5
        print(f"\n### Mistakes of good models of other families\n\n{families_table(values, strong)}")
        print(f"\n{reliability_line('p_hard', values['p_hard'], every)}")
        for scorer in ("p_hard", "entropy") if hard.any() else ():
            what = f"AUROC of {hard.sum()} images that most models of other families miss, {scorer}"
            figures.keep(what, metrics.auroc, values[scorer], hard)
        if given.picture:
            save_picture(values["p_error"], own[np.newaxis], values["p_hard"], every, given.picture)
    if given.foreign:
        kinds = {kind: scored(served, images, bank).values for kind, images in foreign_kinds(given).items()}
        print(f"\n### Images of none of the classes\n\n{foreign_table(values, kinds)}")
        foreign = np.concatenate([each["p_foreign"] for each in kinds.values()])
        both = np.concatenate([values["p_foreign"], foreign])
        truth = np.repeat([False, True], [len(rows), len(foreign)])
        figures.keep(f"AUROC of {len(foreign)} foreign images, p_foreign", metrics.auroc, both, truth)
        figures.keep(f"found of {len(foreign)} foreign images at 1% false", metrics.found_at, both, truth)
    return figures.kept


def add_foreign_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--foreign", nargs="+", type=named_path, default=[], metavar="NAME=PATH", help="photos of none of the classes")
    add("--leave-out", metavar="REGEX", help="foreign photos to leave out, by their keys")


def named_path(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise argparse.ArgumentTypeError(f"it is {text!r}; NAME=PATH is wanted")
    return name, Path(path)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.difficulty", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, required=True, help="the set that the classifier was trained on")
    add("--model", required=True, help="name of a classifier that has a difficulty score with answers")
    add("--models", type=Path, default=Path("exported_models"))
    add("--on", choices=["val", "test"], default="test", help="val: the images that the score was fitted on")
    add("--families", action="store_true", help="also mistakes of models on other backbones")
    add_foreign_options(parser)
    add("--ensemble", nargs="+", type=Path, default=[], metavar="FOLDER", help="models of other seeds")
    add("--picture", type=Path, help="reliability diagrams, as PNG; with --families")
    add("--metrics", type=Path, metavar="JSON", help="write the figures for a manifest to this file")
    add("--runs", type=Path, default=RUNS)
    given = parser.parse_args(arguments)
    if given.metrics and given.on == "val":
        parser.error("--metrics: the validation images chose the score, so they can't report it")
    if given.picture and not given.families:
        parser.error("--picture shows the mistakes of other families too: give --families")
    try:
        served = load_models(Settings(provider="cpu", models_directory=given.models)).for_difficulty(given.model)
        rule = served.difficulty.config
        if rule.answers is None:
            raise RunError(f"{given.model} has no answers by features. Fit them: python -m training.difficulty")
        data = load(given.data, group_by=rule.group_by)
        if data.sha256 != rule.sha256:
            raise RunError(f"{data.name} is not the set that the score was fitted on. Give that one: {rule.data}.")
        split: Split = given.on
        data.require_all_classes((split,))
        kept = measure(given, served, data)
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    print(f"\n95 % intervals by 1,000 draws of the images; {hardware(torch.device('cpu'))}")
    if given.metrics:
        text = json.dumps([figure.model_dump(mode="json") for figure in kept], indent=2)
        given.metrics.parent.mkdir(parents=True, exist_ok=True)
        given.metrics.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
