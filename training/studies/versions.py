"""Is a new version of a classifier better? Exported models beside one another, on validation photos, also with parts
hidden.

    git archive HEAD exported_models/cats_dogs | tar x -C old/ --strip-components=1
    python -m training.studies.versions --data cats_dogs.tar --models old/cats_dogs exported_models/cats_dogs

Each runs in ONNX Runtime, as served, at its own size. Differences are to the first one's, on the same photos.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from phototriage.models.classifier import Classifier
from phototriage.models.loading import load_classifier
from phototriage.settings import Settings
from training.data.dataset import Dataset
from training.data.loading import load
from training.loop.compute import hardware
from training.loop.run_folder import RunError
from training.statistics.intervals import RESAMPLES
from training.studies.backbone_classes import ClassArm, class_table
from training.studies.backbone_features import describe, hidden
from training.studies.backbone_graphs import Floats, Images
from training.studies.command import run_study, study_parser


def logits_of(
    model: Classifier, data: Dataset, rows: Sequence[int], change: Callable[[Images, Sequence[int]], Images]
) -> Floats:
    """(n, K) of these images, after the change, in the order of the data's labels."""
    columns = [model.labels.index(label) for label in data.labels]
    found = describe(
        map(data.image, rows),
        len(rows),
        {"logits": (model.manifest.input, model.logits)},
        lambda pixels, start: change(pixels, rows[start : start + len(pixels)]),
    )
    return found["logits"][:, columns]


def compare(paths: Sequence[Path], source: Path, seed: int) -> str:
    """The table. Raises DataError, ModelFolderError, RunError."""
    models = [load_classifier(path, Settings(provider="cpu")) for path in paths]
    data = load(source, group_by=models[0].manifest.training.settings.get("group_by"))
    rows = [int(row) for row in data.indices("val")]
    arms = []
    for model in models:
        if set(model.labels) != set(data.labels):
            raise RunError(f"{model.name} knows {', '.join(model.labels)}; the images are {', '.join(data.labels)}")
        rule = model.manifest.input
        if rule.height != rule.width:
            raise RunError(f"{model.name} takes {rule.height}×{rule.width}: parts are hidden in squares alone")
        print(f"{model.name} {model.manifest.version}", file=sys.stderr)
        name = f"{model.name} {model.manifest.version}, {rule.height} px"
        clean = logits_of(model, data, rows, lambda images, _: images)
        arms.append(ClassArm(name, clean, logits_of(model, data, rows, hidden)))
    groups = np.unique([data.records[row].group for row in rows], return_inverse=True)[1]
    table = class_table(arms, data.targets[rows], groups, seed, "the first")
    drawn = f"95 % intervals: of shares by Wilson, of differences by {RESAMPLES:,} draws of groups of photos"
    return f"{table}\n\n{data.name} validation, n = {len(rows)}; {drawn}; {hardware()}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = study_parser("training.studies.versions", __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="folders; the first is the reference")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    return run_study(lambda: compare(given.models, given.data, given.seed))


if __name__ == "__main__":
    sys.exit(main())
