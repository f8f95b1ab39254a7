"""What should agreement in layout do to the cosine? Every combination of a grid, fitted to reposts and hard negatives.

    python -m training.studies.layout_rescoring --data photos.tar --model exported_models/near_duplicates [--val-keys …]

Takes the train photos only. For each combination a logistic regression on the similarity tells reposts of a photo
from its hard negatives; the table gives the mean log loss, the least first, and that of the bare cosine.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from phototriage import duplicates
from phototriage.common.errors import ModelFolderError
from phototriage.common.progress import Progress
from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_model
from phototriage.settings import Settings
from training.data.photos import Photos, load_photos
from training.embedder.views import GUARD, nearest, shot_batches
from training.pairs.labelled_pairs import Shot
from training.reposts.chains import draw_everyday, draw_hard
from training.statistics.tables import table as markdown
from training.studies.command import run_study, study_parser

VIEWS, HARD_NEGATIVES, ROWS = 4, 4, 10
GRID = {
    "floor": (0.7, 0.75, 0.8, 0.85, 0.9),
    "weight": (0.4, 0.55, 0.7, 0.85),
    "doubt": (0.0, 0.08, 0.12, 0.16, 0.2, 0.24),
    "doubt_from": (0.1, 0.2, 0.3),
    "doubt_most": (0.9, 0.95),
}
DOUBTS = ("doubt_from", "doubt_most")  # which say nothing where there is no doubt

Floats = NDArray[np.float64]


class Signals(NamedTuple):
    """Of pairs: cosine, agreement of the layouts, and whether the two are of one photo; (P,) each."""

    cosine: Floats
    agreement: Floats
    same: NDArray[np.bool_]


def combinations() -> list[LayoutRescoring]:
    """Of the grid, each that differs from the others."""
    found = []
    for values in product(*GRID.values()):
        fields = dict(zip(GRID, values, strict=True))
        if fields["doubt"] or all(fields[name] == GRID[name][0] for name in DOUBTS):
            found.append(LayoutRescoring.model_validate(fields))
    return found


def log_loss(similarity: Floats, same: NDArray[np.bool_]) -> float:
    """Of a logistic regression on the similarity, in nats a pair, on the pairs that it was fitted on."""
    column = similarity[:, np.newaxis]
    probability = LogisticRegression(C=1e3).fit(column, same).predict_proba(column)[:, 1]
    return float(-np.log(np.where(same, probability, 1 - probability)).mean())


def signals(views: NDArray[np.float32], groups: NDArray[np.int64]) -> Signals:
    """From views (N, VIEWS, D), each photo's first as it is, with the layout behind the embedding; groups (N,).

    A photo beside each of its reposts; beside its nearest photos of other groups, and two reposts of the nearest.
    """
    first = np.ascontiguousarray(views[:, 0, : -layout.DIMENSION])
    near = nearest(first, groups, HARD_NEGATIVES, GUARD)
    numbers = np.arange(len(views))
    pairs = [(numbers, 0, numbers, view, True) for view in range(1, VIEWS)]
    pairs += [(numbers, 0, near[:, place], 0, False) for place in range(HARD_NEGATIVES)]
    pairs += [(numbers, 0, near[:, 0], view, False) for view in (1, 2)]
    found = []
    for left, left_view, right, right_view, same in pairs:
        there = right >= 0
        a, b = views[left[there], left_view], views[right[there], right_view]
        cosine = duplicates.similarities(a[:, : -layout.DIMENSION], b[:, : -layout.DIMENSION])
        agreement = layout.agreement(
            a[:, -layout.DIMENSION :].astype(np.float64), b[:, -layout.DIMENSION :].astype(np.float64)
        )
        found.append(Signals(cosine, agreement, np.full(len(cosine), same)))
    return Signals(*(np.concatenate(column) for column in zip(*found, strict=True)))


def embed_views(folder: Path, photos: Photos, numbers: Sequence[int], seed: int, workers: int) -> NDArray[np.float32]:
    """(n, VIEWS, D) of the photos, as served: as it is, an everyday repost, two hard ones."""
    model = load_model(folder, Settings())
    if not isinstance(model, Embedder) or model.manifest.layout_rescoring is None:
        raise ModelFolderError(f"{folder.name} has no layout re-scoring")
    rng = np.random.default_rng((seed, 3))
    shots = []
    for number in numbers:
        shots += [Shot(number), Shot(number, draw_everyday(rng)), Shot(number, draw_hard(rng))]
        shots.append(Shot(number, draw_hard(rng)))
    found, progress = list[NDArray[np.float32]](), Progress(len(shots))
    for images in shot_batches(photos, shots, model.manifest.input, batch_size=32, workers=workers):
        found.append(model.embed(np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())))
        progress.step(len(images))
    return np.concatenate(found).reshape(len(numbers), VIEWS, -1)


def table(found: Signals, rows: int = ROWS) -> str:
    """Markdown: the bare cosine, the best without doubt, and the best of all, with how much a pair costs in nats."""
    losses = [
        (log_loss(rescoring.similarity(found.cosine, found.agreement), found.same), place, rescoring)
        for place, rescoring in enumerate(combinations())
    ]
    losses.sort(key=lambda row: row[:2])
    without = next(row for row in losses if not row[2].doubt)
    cells = [["–"] * len(GRID) + [f"{log_loss(found.cosine, found.same):.5f}"]]
    for loss, _, rescoring in (without, *losses[:rows]):
        values = [f"{getattr(rescoring, name):g}" if rescoring.doubt or name not in DOUBTS else "–" for name in GRID]
        cells.append([*values, f"{loss:.5f}"])
    return markdown([*GRID, "log loss"], cells)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = study_parser("training.studies.layout_rescoring", __doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="the photos of the embedder's training")
    parser.add_argument(
        "--model", type=Path, required=True, help="folder of an exported embedder with layout re-scoring"
    )
    parser.add_argument("--group-by", metavar="REGEX", help="as in the training")
    parser.add_argument("--val-keys", metavar="REGEX", help="as in the training")
    parser.add_argument("--leave-out", metavar="REGEX", help="as in the training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args(arguments)

    def text() -> str:
        photos = load_photos(given.data, group_by=given.group_by, val_keys=given.val_keys, leave_out=given.leave_out)
        numbers = [int(number) for number in photos.numbers("train")]
        found = signals(embed_views(given.model, photos, numbers, given.seed, given.workers), photos.groups[numbers])
        pairs = f"{len(found.same):,} pairs of {len(numbers):,} train photos, {int(found.same.sum()):,} of one photo"
        return f"{table(found)}\n\n{pairs}"

    return run_study(text)


if __name__ == "__main__":
    sys.exit(main())
