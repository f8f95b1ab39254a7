"""What is decided on photos and their copies under AugLy's edits: by kind of edit and by kind of image.

    python -m benchmarks.augly_scores FOLDER --on val [--metrics FILE]

FOLDER is what `benchmarks.augly_photos` and `benchmarks.augly_edits` wrote. `served` is the shipped decision,
`embedding alone` that of the embeddings' similarity at its threshold. No threshold is chosen here.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import PhototriageError
from phototriage.images.pixels import ImageLimits
from phototriage.model_folder.manifest import Metric
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import Models, load_needed
from phototriage.settings import Settings
from phototriage.triage.comparison import Thresholds, decision_of, judge
from phototriage.triage.embedder_input import embedder_input
from phototriage.triage.embedding import EmbeddedImage
from phototriage.verification import signature
from training.loop.evaluation import metric_of
from training.statistics.intervals import RESAMPLES, Figure, over_resamples, resamples, share
from training.statistics.tables import short, table, with_interval

KEPT = 400  # files: two look-alikes under all edits, and more
COLUMNS = ("served", "embedding alone")
SEED = 18

Bools = NDArray[np.bool_]


class Answers(NamedTuple):
    """Of n pairs: (n,) whether they are of one photo, its number, the kinds of image and of edit, and what each column
    called duplicates, (n, columns) bool."""

    same: Bools
    photos: NDArray[np.int64]
    images: NDArray[np.str_]
    edits: NDArray[np.str_]
    called: Bools

    def share_called(self, rows: Bools, column: int) -> Figure:
        return share(int(self.called[rows, column].sum()), int(rows.sum()))

    def worst_cell(self, column: int, edit: str | None = None) -> tuple[float, str]:
        """The least recall of a kind of image under an edit, or under any, and where."""
        cells = {
            f"{image}, {name}": self.share_called(self.of(name, image), column).value
            for name in dict.fromkeys(self.edits if edit is None else [edit])
            for image in dict.fromkeys(self.images)
        }
        least = min(cells, key=lambda cell: cells[cell])
        return cells[least], least

    def of(self, edit: str, image: str | None = None, same: bool = True) -> Bools:
        rows: Bools = (self.edits == edit) & (self.same == same)
        return rows if image is None else rows & (self.images == image)

    def mean(self, column: int, same: bool) -> Figure:
        """The share of all pairs that are called, with an interval over photos. Each kind has as many pairs, so this is
        the mean over kinds of edit."""
        rows = self.same == same
        samples = resamples(self.photos[rows], RESAMPLES, SEED)
        called = self.called[rows, column]
        return over_resamples(lambda drawn: float(called[drawn].mean()), int(rows.sum()), samples)[0]


class Decisions:
    """What each column says of two image files. What is computed of a file alone is kept for its next pairs."""

    def __init__(self, model: Embedder) -> None:
        self._model = model
        self._image = lru_cache(KEPT)(self._embedded)

    def _embedded(self, path: Path) -> EmbeddedImage:
        pixels, signed = embedder_input(self._model, path.read_bytes(), ImageLimits())
        vector = self._model.embed(pixels[np.newaxis])[0]
        return EmbeddedImage(vector, None if signed is None else signature.decode(signed))

    def served(self, a: Path, b: Path) -> bool:
        return judge(self._model, self._image(a), self._image(b)).answer.is_duplicate

    def by_embedding(self, a: Path, b: Path) -> bool:
        alone = Thresholds(similarity=decision_of(self._model).threshold)
        return judge(self._model, self._image(a), self._image(b), alone).answer.is_duplicate


def answer(folder: Path, models: Models) -> Answers:
    """Decide all pairs of a folder."""
    with (folder / "pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    photos = list(dict.fromkeys(row["path_a"] for row in rows))
    kinds = [row["kind"].split(", ", 1) for row in rows]
    decisions = Decisions(models.embedder())
    called = np.zeros((len(rows), len(COLUMNS)), np.bool_)
    for number, row in enumerate(rows):
        a, b = folder / row["path_a"], folder / row["path_b"]
        called[number] = decisions.served(a, b), decisions.by_embedding(a, b)
        if number % 100 == 0:
            print(f"{number} of {len(rows)}", end="\r", file=sys.stderr)
    return Answers(
        np.array([row["is_same"] == "1" for row in rows]),
        np.array([photos.index(row["path_a"]) for row in rows]),
        np.array([image for image, _ in kinds]),
        np.array([edit for _, edit in kinds]),
        called,
    )


def summary(answers: Answers) -> str:
    rows = [
        ["recall, mean over kinds of edit", *(with_interval(answers.mean(i, True)) for i in range(len(COLUMNS)))],
        ["worst kind of edit", *(_worst_edit(answers, i) for i in range(len(COLUMNS)))],
        ["worst kind of image × edit", *(_named(*answers.worst_cell(i)) for i in range(len(COLUMNS)))],
        ["different ones called duplicates", *(with_interval(answers.mean(i, False)) for i in range(len(COLUMNS)))],
    ]
    for image in dict.fromkeys(answers.images):
        here = answers.images == image
        shares = [
            " · ".join(short(answers.share_called(here & (answers.same == same), i).value) for same in (True, False))
            for i in range(len(COLUMNS))
        ]
        rows.append([f"{image}: recall · false", *shares])
    return table(["", *COLUMNS], rows)


def _worst_edit(answers: Answers, column: int) -> str:
    recall = {edit: answers.share_called(answers.of(edit), column).value for edit in dict.fromkeys(answers.edits)}
    worst = min(recall, key=lambda edit: recall[edit])
    return _named(recall[worst], worst)


def _named(value: float, name: str) -> str:
    return f"{short(value)} ({name})"


def by_edit(answers: Answers) -> str:
    """For each column recall, the worst kind of image, and the share of different ones called."""
    rows = []
    for edit in dict.fromkeys(answers.edits):
        cells = []
        for column in range(len(COLUMNS)):
            worst, where = answers.worst_cell(column, edit)
            cells += [
                short(answers.share_called(answers.of(edit), column).value),
                "" if worst == 1 else _named(worst, where.split(", ")[0]),
                short(answers.share_called(answers.of(edit, same=False), column).value),
            ]
        rows.append([edit, f"{int(answers.of(edit).sum())}", *cells])
    header = [f"{column}: {name}" for column in COLUMNS for name in ("recall", "worst kind of image", "false")]
    return table(["edit", "n", *header], rows)


def metrics(answers: Answers, set_name: str, split: str) -> list[Metric]:
    """The served decision's, for its manifest and card."""
    named = {
        "AugLy's edits: recognised": answers.mean(0, True),
        "AugLy's edits: different ones called duplicates": answers.mean(0, False),
    }
    for edit in dict.fromkeys(answers.edits):
        named[f"AugLy's edits, {edit}: recognised"] = answers.share_called(answers.of(edit), 0)
    return [metric_of(name, figure, set_name, split) for name, figure in named.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augly_scores", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="with pairs.csv and the images")
    parser.add_argument("--models", type=Path, default=Path("exported_models"), help="folder of model folders")
    parser.add_argument("--model", help="an embedder; the default one without it")
    parser.add_argument("--on", choices=("val", "test"), required=True, help="which photos these are")
    parser.add_argument("--metrics", type=Path, help="also write figures, for `training.export --metrics`")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        models = load_needed(Settings(provider="cpu", models_directory=given.models), {"embedder"}, None, given.model)
        answers = answer(given.folder, models)
    except (PhototriageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(summary(answers), by_edit(answers), sep="\n\n")
    if given.metrics:
        written = [metric.model_dump(mode="json") for metric in metrics(answers, "AugLy", given.on)]
        given.metrics.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
