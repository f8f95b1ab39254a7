"""Fit the difficulty of an exported classifier on the images that it was trained on.

    python -m training.difficulty --data my_photos/ --classifier my_model [--foreign others/]
    python -m training.difficulty --data my_photos/ --classifier my_model --autoencoder my_autoencoder

Three answers, from what one pass of the classifier gives for an image: that it is wrong, fitted to its own mistakes
about validation images and to those of replicas by its recipe about train images that they haven't learned; that good
models on other features would be wrong; that the image is of none of the classes, fitted to the images of --foreign or
to drawn and mixed ones. The score is made of the first and the last.

With an autoencoder its signals are there too, and what small reference networks get wrong: those learn halves of the
train images and answer for the others. Where a classifier has no features at two depths, the score is the probability
that such a network is wrong, and this way is the only one.

Writes into the classifier's folder: manifest, difficulty.npz, card. Leaves the networks in runs/replicas/ and
runs/references/, and, of the latter, runs/CLASSIFIER_difficulty/truth.parquet: for each train and validation image how
often they were wrong, their loss, and whether it is in the hardest fifth of its class. Started again, it goes on where
it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from phototriage.difficulty.config import FILE_NAME, METRIC_PREFIX, DifficultyConfig
from phototriage.difficulty.predictor import Difficulty, write
from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import Manifest, Metric
from training.difficulty.by_references import Fitted, fit_by_references
from training.difficulty.fit import scaled
from training.difficulty.prepared import Work, prepare
from training.export.card import rewrite_card, with_difficulty
from training.export.model_folder import MODELS, read_metrics
from training.export.taking_up import taking_up
from training.loop.command import as_line, exit_status
from training.loop.options import add_compute_options
from training.loop.run_folder import RUNS, RunError
from training.references.options import (
    QUICK_EPOCHS,
    QUICK_SEEDS,
    add_reference_options,
    check_reference_options,
)


def fit_score(given: argparse.Namespace) -> tuple[Manifest, list[Metric]]:
    """From images and models to a written score. Returns the classifier's new manifest and the score's figures."""
    work = prepare(given)
    found, metrics = fit_answers_alone(work) if work.autoencoder is None else fit_by_references(work, work.autoencoder)
    measured = read_metrics(given.metrics) if given.metrics else ()
    return write_score(found, (*measured, *metrics), work.folder), metrics


def fit_answers_alone(work: Work) -> Fitted:
    """Raises RunError where the classifier has no features at two depths."""
    answered = work.answered()
    if answered is None:
        raise RunError(
            f"{work.classifier.name} has no answers by its features. Train an autoencoder on these images and give "
            "it: --autoencoder NAME"
        )
    rule = DifficultyConfig(
        review_from=0,
        workload=work.given.workload,
        data=work.data.name,
        sha256=work.data.sha256,
        group_by=work.group_by,
        images=len(work.val),
        answers=answered.answering.answers,
    )
    seen = work.seen()._replace(features=answered.features)
    labels = work.data.targets[work.val]
    return Fitted(scaled(rule, seen, labels, None, answered.answering.depths), answered.metrics)


def write_score(found: Difficulty, metrics: Sequence[Metric], folder: Path) -> Manifest:
    """Put score and figures into the folder: the file, the card, and last the manifest."""
    described = manifest.read(folder)
    kept = [metric for metric in described.metrics if not metric.name.startswith(METRIC_PREFIX)]
    described = described.model_copy(update={"difficulty": found.config, "metrics": (*kept, *metrics)})
    # File and manifest belong together, so one comes right behind the other.
    sha256 = manifest.sha256_of(write(found, folder))
    written = manifest.write(described.model_copy(update={"files": described.files | {FILE_NAME: sha256}}), folder)
    rewrite_card(folder, lambda text: with_difficulty(text, described))
    return written


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.difficulty", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder or tar that the models were trained on")
    add("--classifier", required=True, help="name of an exported classifier")
    add("--autoencoder", help="name of an exported autoencoder, to have its signals and reference networks too")
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
    for name, path in (("--foreign", given.foreign), ("--metrics", given.metrics)):
        if path is not None and not path.exists():
            parser.error(f"{name} {path}: there is no such file or folder")
    if given.quick and given.autoencoder is None:
        print("note: --quick is for reference networks, which --autoencoder brings", file=sys.stderr)
    return given


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"it is {text}, and a share goes from 0 to 1")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0 when written, 2 with a message when not, 130 when interrupted."""
    given = parse(arguments)

    def work() -> None:
        written, metrics = fit_score(given)
        for metric in metrics:
            print(as_line(metric))
        assert written.difficulty is not None
        print(f"{written.name}: version {written.version}; review from a score of {written.difficulty.review_from}")
        print(taking_up(given.models))

    return exit_status(work, consequence="nothing was written: ", goes_on="the last network")
