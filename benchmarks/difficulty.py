"""How well a classifier's difficulty score tells, on images that nothing was fitted on, which are hard.

    python -m benchmarks.difficulty --data cats_dogs.tar --model cats_dogs [--on test] [--picture docs/difficulty.png]

Reference networks of other seeds than those that the score was fitted to learn halves of the train images and answer
for the split `--on`. Prints, as Markdown, how well the score and each single signal rank their mistakes (AUROC,
averaged over the networks; the share of the ceiling that the other networks set), what the score has more, paired over
the images, and the same against the classifier's own mistakes; then calibration and what the hardest tenth holds. The
networks are kept in runs/, so that a second call trains none.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.difficulty_picture import save_picture
from phototriage.common.errors import PhototriageError
from phototriage.difficulty.config import DifficultyConfig
from phototriage.difficulty.predictor import Difficulty, score
from phototriage.difficulty.signals import SIGNALS, Floats, signals
from phototriage.model_folder.manifest import Manifest, Metric
from phototriage.models.model_set import Models, load_models
from phototriage.settings import Settings
from training.data.dataset import Dataset
from training.data.loading import load
from training.difficulty import metrics as metrics
from training.difficulty.job import all_signal_inputs
from training.loop.compute import hardware
from training.loop.run_folder import RUNS, RunError
from training.references.cross_fit import HALVES, References
from training.references.options import references_of
from training.sources.layouts import Split

SEEDS = 3
SERVED = "difficulty score"


class Predicted(NamedTuple):
    """Of n images: the score, each signal, the mistakes (S, n) of reference networks, and the classifier's own (n,)."""

    score: Floats
    signals: dict[str, Floats]
    wrong: NDArray[np.bool_]
    own: NDArray[np.bool_]


def predict(models: Models, name: str, data: Dataset, rows: Sequence[int], answers: NDArray[np.float32]) -> Predicted:
    """answers: probabilities (S, n, K) of reference networks that haven't seen `rows`."""
    served = models.for_difficulty(name)
    seen = all_signal_inputs(served.classifier, served.autoencoder, data, rows)
    found: Difficulty = served.difficulty
    each = signals(seen, found.latent_map)
    labels = data.targets[list(rows)]
    own = seen.logits.argmax(1) != labels
    scores = score(found.config.formula, each)
    return Predicted(scores, each, metrics.mistakes(answers, labels), own)


def references(rule: DifficultyConfig, data: Dataset, given: argparse.Namespace) -> References:
    """As those that the score was fitted to."""
    given.reference_size, given.reference_epochs = rule.reference.size, rule.reference.epochs
    return references_of(given, data)


def learned_from(autoencoder: Manifest) -> int:
    """Of how many seeds' networks the autoencoder's latent has learned."""
    settings = autoencoder.training.settings
    return int(settings["references"][0]) if settings.get("classes") == "references" else 0


def table(predicted: Predicted) -> str:
    """Markdown: a row a scorer, the best first."""
    lines = [
        "| scorer | AUROC of reference mistakes | share of the ceiling | the score has more by | own mistakes |",
        "| --- | --- | --- | --- | --- |",
    ]
    peers = sorted(SIGNALS, key=lambda name: -metrics.mean_auroc(predicted.signals[name], predicted.wrong))
    gains = metrics.peer_differences(predicted.score, [predicted.signals[name] for name in peers], predicted.wrong)
    for name, gain in [(SERVED, None), *zip(peers, gains, strict=True)]:
        values = predicted.score if name == SERVED else predicted.signals[name]
        wrong = predicted.wrong
        cells = [_figure(metrics.mean_auroc, values, wrong), _figure(metrics.share_of_ceiling, values, wrong)]
        cells.append("" if gain is None else f"{gain[0]:+.3f} ({gain[1][0]:+.3f} to {gain[1][1]:+.3f})")
        cells.append(
            _figure(metrics.mean_auroc, values, predicted.own[np.newaxis]) if predicted.own.any() else "none made"
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(statistic: metrics.Statistic, values: Floats, wrong: NDArray[np.bool_]) -> str:
    try:
        low, high = metrics.bootstrap(lambda rows: statistic(values[rows], wrong[:, rows]), len(values))
        return f"{statistic(values, wrong):.3f} ({low:.3f}–{high:.3f})"
    except ValueError:
        return "–"  # a network that makes no mistake


def report(predicted: Predicted, workload: float) -> str:
    """What isn't in the table."""
    wrong, n = predicted.wrong, len(predicted.score)
    ceiling = metrics.interval_of(lambda one, _: metrics.ceiling(one), wrong)
    skill = metrics.interval_of(lambda one, rows: metrics.brier_skill(predicted.score[rows], one), wrong)
    lift = metrics.interval_of(lambda one, rows: metrics.lift(predicted.score[rows], one, workload), wrong)
    best = metrics.interval_of(lambda one, _: metrics.ceiling_lift(one, workload), wrong)
    return "\n".join(
        [
            f"{len(wrong)} reference networks, wrong about {wrong.mean():.3f} of {n:,} images; the classifier about "
            f"{predicted.own.sum()}.",
            f"Ceiling, AUROC of the others' mistakes for one network's: {ceiling}.",
            f"Brier skill against the base rate: {skill}.",
            f"The hardest {workload:.0%} hold {lift} times their share of the mistakes; by the other networks {best}.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.difficulty", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, required=True, help="the set that the classifier was trained on")
    add("--model", required=True, help="name of a classifier that has a difficulty score")
    add("--models", type=Path, default=Path("exported_models"))
    add("--on", choices=["val", "test"], default="test", help="val: the images that the score was fitted on")
    add("--seeds", type=int, default=SEEDS, help="of reference networks, two networks each")
    add("--picture", type=Path, help="reliability diagram and distribution, as PNG")
    add("--metrics", type=Path, metavar="JSON", help="write the figures for a manifest to this file")
    add("--precision", choices=["auto", "float32", "bf16"], default="auto")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--workers", type=int, default=1)
    add("--runs", type=Path, default=RUNS)
    given = parser.parse_args(arguments)
    if given.metrics and given.on == "val":
        parser.error("--metrics: the validation images chose the score, so they can't report it")
    try:
        models = load_models(Settings(provider="cpu", models_directory=given.models))
        served = models.for_difficulty(given.model)
        rule = served.difficulty.config
        data = load(given.data, group_by=rule.group_by)
        if data.sha256 != rule.sha256:
            raise RunError(f"{data.name} is not the set that the score was fitted on. Give that one: {rule.data}.")
        split: Split = given.on
        train, rows = ([int(row) for row in data.indices(one)] for one in ("train", split))
        used = max(rule.reference.networks // HALVES, learned_from(served.autoencoder.manifest))  # seeds from 0 on
        answers = references(rule, data, given).unseen(train, rows, range(used, used + given.seeds))
        predicted = predict(models, given.model, data, rows, answers)
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    print(table(predicted))
    print()
    print(report(predicted, rule.workload))
    print(f"{data.name} {split}, 95 % intervals by 1,000 draws of the images; {hardware(torch.device('cpu'))}")
    if given.picture:
        save_picture(predicted.score, predicted.wrong, given.picture)
    if given.metrics:
        figures: list[Metric] = metrics.figures(
            predicted.score, predicted.wrong, predicted.own, rule.workload, data.name, split
        )
        text = json.dumps([figure.model_dump(mode="json") for figure in figures], indent=2)
        given.metrics.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
