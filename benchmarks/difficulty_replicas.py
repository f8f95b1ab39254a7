"""What answers tell of train images, of which there are many, by replicas that haven't learned them.

    python -m benchmarks.difficulty_replicas --data cats_dogs.tar --model cats_dogs [--sheet suspects.png]

Answers are fitted with one replica's images and asked about the other's, and the other way round: whether `p_hard` is
what other families' models get wrong (each was fitted without the image that it is asked about), and which labels the
replicas make doubtful. By confident learning (Northcutt et al. 2021, arXiv 1911.00068) a label is suspect where another
class is as probable as it is, on average, for images of that class. `--sheet` draws the suspects, to be looked at.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from benchmarks import other_families
from phototriage.common.errors import PhototriageError
from phototriage.difficulty.predictor import score
from phototriage.difficulty.signals import Floats, softmax
from phototriage.model_folder import manifest
from phototriage.settings import Settings
from training.answers.answering import Photos, gather
from training.answers.features import FeatureReader
from training.answers.formulas import DOUBTS, Evidence, ReplicaEvidence, columns_of, fit_answers
from training.answers.replicas import Answer, train_replicas
from training.data.dataset import Dataset
from training.data.loading import load
from training.loop.compute import hardware
from training.loop.options import add_compute_options, compute_of
from training.loop.run_folder import RUNS, RunError
from training.statistics import mistakes as metrics
from training.statistics.tables import table

HARDEST = (40, 160, 400)
TILE, COLUMNS = 180, 8
Flags = NDArray[np.bool_]


def asked_about(evidence: Evidence, asked: ReplicaEvidence, known: ReplicaEvidence, reader: FeatureReader) -> Floats:
    """`p_hard` (n,) of one replica's images, by answers that were fitted with the other's."""
    formula = fit_answers(evidence._replace(replicas=[known]), reader.tensors).hard
    # As the fit sees a replica's signals: by their own mean and deviation.
    columns = columns_of(asked.values, DOUBTS)
    weights = formula.weights
    return score(
        formula,
        {
            name: column * weights[name].deviation + weights[name].mean
            for name, column in zip(DOUBTS, columns.T, strict=True)
        },
    )


def calibration_table(said: Floats, wrong: Mapping[str, Flags]) -> str:
    """A row a family's mistakes (n,), and all together: what `said` (n,) is worth for them."""
    rows = []
    for family, found in [*wrong.items(), ("all", np.stack(list(wrong.values())))]:
        by_model = np.atleast_2d(found)
        share = by_model.mean(0)
        skill = metrics.interval_of(lambda one, rows: metrics.brier_skill(said[rows], one), by_model)
        hard = share >= 0.5
        cells = [family, f"{share.mean():.4f}", f"{said.mean():.4f}", str(skill), f"{metrics.auroc(said, hard):.3f}"]
        order = np.argsort(-said)
        cells += [f"{said[order[:most]].mean():.2f}, {share[order[:most]].mean():.2f}" for most in HARDEST]
        rows.append(cells)
    head = ["family", "are wrong", "p_hard says", "Brier skill", "AUROC of what most miss"]
    return table([*head, *(f"the hardest {most}: said, wrong" for most in HARDEST)], rows)


def suspects(answers: Sequence[Answer], labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Rows whose labels are suspect, the most doubtful first; and how many mistakes there are."""
    found: list[tuple[float, int]] = []
    mistakes = 0
    for answer in answers:
        probability, rows = softmax(answer.unseen.logits), answer.unseen_rows
        own = labels[rows]
        mistakes += int((probability.argmax(1) != own).sum())
        usual = np.array([probability[own == label, label].mean() for label in range(probability.shape[1])])
        is_as_usual = probability >= usual
        is_as_usual[np.arange(len(rows)), own] = False
        for place in np.flatnonzero(is_as_usual.any(1)):
            others = np.where(is_as_usual[place], probability[place], 0)
            found.append((float(probability[place, own[place]] - others.max()), int(rows[place])))
    return np.array([row for _, row in sorted(found)], np.int64), mistakes


def draw_sheet(data: Dataset, rows: Sequence[int], path: Path) -> None:
    """The images, each under its label and key."""
    height = TILE + 24
    sheet = Image.new("RGB", (COLUMNS * TILE, -(-len(rows) // COLUMNS) * height), "white")
    pen = ImageDraw.Draw(sheet)
    for place, row in enumerate(rows):
        left, top = place % COLUMNS * TILE, place // COLUMNS * height
        sheet.paste(ImageOps.contain(data.image(int(row)), (TILE - 4, TILE - 4)), (left, top))
        record = data.records[row]
        pen.text((left + 2, top + TILE), f"{data.labels[record.label]}: {record.key[-22:]}", "black")
    sheet.save(path)


def report(given: argparse.Namespace) -> str:
    settings, folder = Settings(provider="cpu"), given.models / given.model
    described = manifest.read(folder)
    data = load(given.data, group_by=described.training.settings.get("group_by"))
    train, val = ([int(row) for row in data.indices(split)] for split in ("train", "val"))
    reader, compute, kept = FeatureReader.of(folder, described, settings), compute_of(given), given.runs / "replicas"
    evidence, _, _ = gather(Photos(data, train, val, None), reader, described, settings, compute, kept)
    if len(evidence.replicas) < 2:
        raise RunError(f"{given.model} has no replicas, so there is nothing to ask them")
    answers = train_replicas(data, train, described, settings, compute, kept)
    first, second = evidence.replicas
    said = np.full(len(data.targets), np.nan)
    for answer, asked, known in zip(answers, (first, second), (second, first), strict=True):
        said[answer.unseen_rows] = asked_about(evidence, asked, known, reader)
    learns, wrong = np.empty(0, np.int64), {}
    for family in other_families.FAMILIES:
        learns, wrong[family] = other_families.mistakes_out_of_fold(data, train, family, given.runs / "other_families")
    lines = [f"### p_hard of {len(learns):,} train photos", "", calibration_table(said[learns], wrong), ""]
    rows, mistakes = suspects(answers, data.targets)
    lines.append(f"### Labels\n\nReplicas make {mistakes} mistakes about {len(train):,} photos they haven't seen; ")
    lines[-1] += f"confident learning suspects {len(rows)} labels:\n"
    lines += [f"- {data.labels[data.records[row].label]}: {data.records[row].key}" for row in rows.tolist()]
    if given.sheet and len(rows):
        draw_sheet(data, rows.tolist(), given.sheet)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.difficulty_replicas", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="the set that the classifier was trained on")
    add("--model", required=True, help="name of a classifier")
    add("--models", type=Path, default=Path("exported_models"))
    add("--runs", type=Path, default=RUNS)
    add("--sheet", type=Path, help="draw the images whose labels are suspect, as PNG")
    add_compute_options(parser)
    given = parser.parse_args(arguments)
    try:
        print(report(given))
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    print(f"\n95 % intervals by 1,000 draws of the photos; {hardware(torch.device('cpu'))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
