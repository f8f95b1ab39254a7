"""How many of the backbone's stages must learn? An embedder for each count, the same start, photos and steps.

    python -m training.studies.tuned_stages --data photos.tar --name tuned_stages [--frozen 9 7 5 4 2 0] [as embedder]

Takes the options of `training.embedder.job`; by default 2 epochs at 160 px, all of contrast, then the last head. Stages
that stay frozen are those of the pretrained backbone, so a classifier and an embedder that freeze them can share one
pass. Prints a Markdown table of the validation pairs, and keeps each row in runs/NAME/, so that it goes on where it
was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import torch

from phototriage.common.errors import PhototriageError
from training.data.photos import load_photos
from training.embedder.job import Job
from training.embedder.options import EmbedderOptions, parse
from training.loop.compute import hardware
from training.loop.run import claim_folder, package_versions

COUNTS = (9, 7, 5, 4, 2, 0)
FIGURES = ("everyday_f1", "everyday_precision", "hard_f1", "hard_precision")


def measure(given: argparse.Namespace, options: EmbedderOptions, counts: Sequence[int]) -> dict[int, dict[str, float]]:
    """Count of frozen stages → figures of the finished embedder, and the seconds of an epoch."""
    photos = load_photos(given.data, group_by=options.group_by, val_keys=options.val_keys, leave_out=options.leave_out)
    root = given.runs / options.name
    settings = options.model_dump(mode="json") | {"data": photos.sha256}
    claim_folder(root, settings, restart=given.restart)
    found: dict[int, dict[str, float]] = {}
    for count in counts:
        kept = root / f"frozen_{count}.json"
        if not kept.exists():
            print(f"{count} of 9 stages frozen", file=sys.stderr)
            fit = options.fit.model_copy(update={"frozen_stages": count})
            arm = options.model_copy(update={"fit": fit, "name": f"{options.name}/frozen_{count}"})
            job = Job(given, arm, photos)
            job.folder.mkdir(exist_ok=True)
            validation = job.validation()
            job.start_head()
            epochs = job.fit(validation)
            job.finish_head(validation)
            row = job.figures(validation) | {"seconds": sum(epoch.seconds for epoch in epochs) / len(epochs)}
            part = kept.with_suffix(".part")
            part.write_text(json.dumps(row), encoding="utf-8")
            part.replace(kept)
        found[count] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def table(found: dict[int, dict[str, float]]) -> str:
    """Markdown; the cost of an epoch beside what it brings."""
    lines = [
        "| stages that learn | everyday F1 | everyday AP | hard F1 | hard AP | seconds an epoch |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for count, row in found.items():
        figures = " | ".join(f"{row[name]:.4f}" for name in FIGURES)
        lines.append(f"| {9 - count} of 9 | {figures} | {row['seconds']:.0f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--frozen", type=int, nargs="+", default=list(COUNTS), choices=range(10))
    own, rest = parser.parse_known_args(arguments)
    defaults = ["--size", "160", "--epochs", "2", "--small-epochs", "0", "--triplet-epochs", "0"]
    given, options = parse([*defaults, *rest])
    try:
        found = measure(given, options, own.frozen)
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    print(table(found))
    versions = ", ".join(f"{name} {version}" for name, version in package_versions().items())
    print(
        f"\n{options.size} px, {options.fit.epochs} epochs; at most {options.val_photos} validation photos; "
        f"seed {options.fit.seed}; {hardware(torch.device(given.device))}; {versions}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
