"""How many of the backbone's stages must learn? An embedder for each count, the same start, photos and steps.

    python -m training.studies.tuned_stages --data photos.tar --name tuned_stages [--frozen 9 7 5 4 2 0] [as embedder]

Takes the options of `training.embedder.job`; by default 2 epochs at 160 px, all of contrast, then the last head. Stages
that stay frozen are those of the pretrained backbone, so a classifier and an embedder that freeze them can share one
pass. Prints a Markdown table of the validation pairs, and keeps each row in runs/NAME/, so that it goes on where it
was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import torch

from training.data.photos import load_photos
from training.embedder.job import Job
from training.embedder.options import EmbedderOptions, parse
from training.loop.run_folder import claim_folder
from training.statistics.tables import table as markdown
from training.studies.command import kept_json, run_study, surroundings

COUNTS = (9, 7, 5, 4, 2, 0)
FIGURES = ("everyday_f1", "everyday_precision", "hard_f1", "hard_precision")


def measure(given: argparse.Namespace, options: EmbedderOptions, counts: Sequence[int]) -> dict[int, dict[str, float]]:
    """Count of frozen stages → figures of the finished embedder, and the seconds of an epoch."""
    photos = load_photos(given.data, group_by=options.group_by, val_keys=options.val_keys, leave_out=options.leave_out)
    root = given.runs / options.name
    settings = options.model_dump(mode="json") | {"data": photos.sha256}
    claim_folder(root, settings, restart=given.restart)

    def figures(count: int) -> dict[str, float]:
        print(f"{count} of 9 stages frozen", file=sys.stderr)
        fit = options.fit.model_copy(update={"frozen_stages": count})
        arm = options.model_copy(update={"fit": fit, "name": f"{options.name}/frozen_{count}"})
        job = Job(given, arm, photos)
        job.folder.mkdir(exist_ok=True)
        validation = job.validation()
        job.start_head()
        epochs = job.fit(validation)
        job.finish_head(validation)
        return job.figures(validation) | {"seconds": sum(epoch.seconds for epoch in epochs) / len(epochs)}

    return {count: kept_json(root / f"frozen_{count}.json", partial(figures, count)) for count in counts}


def table(found: dict[int, dict[str, float]]) -> str:
    """Markdown; the cost of an epoch beside what it brings."""
    rows = [
        [f"{9 - count} of 9", *(f"{row[name]:.4f}" for name in FIGURES), f"{row['seconds']:.0f}"]
        for count, row in found.items()
    ]
    header = ("stages that learn", "everyday F1", "everyday AP", "hard F1", "hard AP", "seconds an epoch")
    return markdown(header, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--frozen", type=int, nargs="+", default=list(COUNTS), choices=range(10))
    own, rest = parser.parse_known_args(arguments)
    defaults = ["--size", "160", "--epochs", "2", "--small-epochs", "0", "--triplet-epochs", "0"]
    given, options = parse([*defaults, *rest])

    def text() -> str:
        settings = f"{options.size} px, {options.fit.epochs} epochs; at most {options.val_photos} validation photos"
        rows = table(measure(given, options, own.frozen))
        return f"{rows}\n\n{settings}; seed {options.fit.seed}; {surroundings(torch.device(given.device))}"

    return run_study(text)


if __name__ == "__main__":
    sys.exit(main())
