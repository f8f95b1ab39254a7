"""Near-duplicates by kind of image: the served decision beside registration, hashes and counted points.

    python -m benchmarks.kinds --on val --houses house_photos.tar --caltech caltech101.tar
        [--count 30] [--sets drawn photos pasted] [--picture SHEET.png] [--mistakes FOLDER] [--metrics FILE]
        [--json FILE]

Drawn sets need no photos. Photos and seeds of `val` and `test` are different ones; `test` is for what is reported.
Takes minutes of one core, for which OMP_NUM_THREADS=1 should be set.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import cv2
import torch

from benchmarks.duplicate_pairs import load_all
from benchmarks.kinds import report
from benchmarks.kinds.catalogue import SEEDS, Family, image_sets
from benchmarks.kinds.deciders import EMBEDDING, LEAST_INLIERS, SERVED, deciders
from benchmarks.kinds.features import features_of
from benchmarks.kinds.figures import decide_all
from benchmarks.kinds.sheet import sample, save_mistakes, stacked
from phototriage.common.errors import PhototriageError
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from training.data.photos import Photos
from training.loop.compute import hardware


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kinds", description=__doc__.split("\n")[0])
    parser.add_argument("--on", choices=sorted(SEEDS), required=True, help="test only for what is reported")
    parser.add_argument("--houses", type=Path, help="house_photos, folder or tar")
    parser.add_argument("--caltech", type=Path, help="caltech101, folder or tar")
    parser.add_argument("--count", type=int, default=30, help="images of each kind, 4 or more; photos: twice as many")
    parser.add_argument("--sets", nargs="+", choices=get_args(Family), default=list(get_args(Family)))
    parser.add_argument("--model", type=Path, default=Path("exported_models/near_duplicates"))
    parser.add_argument("--picture", type=Path, help="also write a sample of every set to this PNG")
    parser.add_argument("--mistakes", type=Path, help="also write each set's worst mistakes to this folder, as PNG")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument(
        "--metrics", type=Path, help="also write the served decision's, for `training.export.model_folder --metrics`"
    )
    given = parser.parse_args(arguments)
    if given.count < 4:
        parser.error(f"--count {given.count}: some sets need 4 images")
    if set(given.sets) != {"drawn"} and not (given.houses and given.caltech):
        parser.error("photos are needed: give --houses and --caltech, or --sets drawn")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    cv2.setNumThreads(1)
    for path in filter(None, (given.picture, given.json, given.metrics)):
        path.parent.mkdir(parents=True, exist_ok=True)  # now, and not after the minutes that all else takes
    if given.mistakes:
        given.mistakes.mkdir(parents=True, exist_ok=True)
    try:
        model = load_embedder(given.model, Settings(provider="cpu", threads=1))
        decide, hashes, missing = deciders(model)
        photos = load_all(given.houses, given.caltech) if set(given.sets) != {"drawn"} else None
        results, samples = [], []
        for images in image_sets(given.on, given.count, photos, tuple(given.sets)):
            began = time.monotonic()
            features = [features_of(image, model, hashes) for image in images.images]
            decided = decide_all(images, features, decide)
            results.append(decided)
            if given.picture:
                samples.append(sample(images))
            if given.mistakes:
                save_mistakes(images, decided, (SERVED, EMBEDDING), given.mistakes)
            counts = f"{len(images.images):,} images, {len(images.pairs):,} pairs"
            print(f"{images.name}: {counts}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    notes = [*_notes(given, model, photos), *missing]
    print(report.markdown(results, notes))
    if given.json:
        _save(report.as_json(results, notes), given.json)
    if given.metrics:
        source = "drawings" if photos is None else f"drawings+{photos.name}"
        metrics = report.metrics(results, source, given.on)
        _save([metric.model_dump(mode="json") for metric in metrics], given.metrics)
    if given.picture:
        stacked(samples).save(given.picture)
    return 0


def _save(figures: object, path: Path) -> None:
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _notes(given: argparse.Namespace, model: Embedder, photos: Photos | None) -> list[str]:
    """How the figures came about."""
    dev = ["Measured on what thresholds are chosen on: for development only."] if given.on == "val" else []
    source = "no photos" if photos is None else f"photos {photos.sha256[:12]}"
    return [
        *dev,
        f"{SERVED}: {model.name} {model.manifest.version}, verified where it can. {EMBEDDING}: its similarity at its "
        "own threshold."
        f" pHash and dHash: up to 10 of 64 bits differ. PDQ: up to 31 of 256. SIFT: from {LEAST_INLIERS} inliers on.",
        "Intervals of 95 % by Wilson, as if pairs were independent, which those that share an image aren't.",
        f"Seed {SEEDS[given.on]}, count {given.count}; {source}; {hardware(torch.device('cpu'))}; "
        f"OpenCV {cv2.__version__}",
    ]


if __name__ == "__main__":
    sys.exit(main())
