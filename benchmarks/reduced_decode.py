"""What decoding large JPEGs at a part of their size changes in the models' answers, and how much faster it is.

    python -m benchmarks.reduced_decode --photos FOLDER [--models exported_models] [--least-side 1000]
    python -m benchmarks.reduced_decode --mosaics cats_dogs.tar house_photos.tar

The second is of 24 mosaics of 12 megapixels, as the load's, whose probabilities, near a half, are moved most easily.
For each JPEG below the folder of at least so many pixels a side, decoded whole and reduced to no less than 1, 1.5, 2
and 3 times the classifier's input: the largest and the median change of a probability, and the least cosine of the
embedding with that of the whole photo. Times are of decoding and resizing, in turns. Debian's packages mate-backgrounds
and ukui-wallpapers hold such photos.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime
import PIL
import torch

from benchmarks.load_photos import load_photos
from phototriage.common.errors import PhototriageError
from phototriage.difficulty.signals import softmax
from phototriage.images.pixels import OVERSAMPLING, ImageLimits, decode_reduced, resize
from phototriage.images.upright import Upright
from phototriage.models.model_set import load_models
from phototriage.settings import Settings
from training.loop.compute import hardware

FACTORS = (1.0, 1.5, 2.0, 3.0)
LIMITS = ImageLimits()
MOSAICS = 24


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reduced_decode", description=__doc__.split("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--photos", type=Path, metavar="FOLDER")
    source.add_argument("--mosaics", type=Path, nargs="+", metavar="TAR", help="of photos that mosaics are made of")
    parser.add_argument("--models", type=Path, default=Path("exported_models"))
    parser.add_argument("--least-side", type=int, default=1000)
    given = parser.parse_args(arguments)
    models = load_models(Settings(provider="cpu", models_directory=given.models))
    classifier, embedder = models.classifier(), models.embedder()
    side = max(classifier.manifest.input.height, classifier.manifest.input.width)

    def answers(upright: Upright) -> tuple[float, np.ndarray]:
        probabilities = softmax(classifier.logits(resize(upright, classifier.manifest.input).pixels[np.newaxis]))
        vector = embedder.forward(resize(upright, embedder.manifest.input).pixels[np.newaxis])[0]
        return float(probabilities[0, 0]), vector

    rows: dict[float, list[tuple[float, float, float]]] = {factor: [] for factor in FACTORS}
    for name, content in _mosaics(given.mosaics) if given.mosaics else _photos(given.photos):
        try:
            began = perf_counter()
            whole = decode_reduced(content, LIMITS, None)
            resize(whole, classifier.manifest.input)
            whole_seconds = perf_counter() - began
        except PhototriageError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        if whole.smallest_side < given.least_side:
            continue
        probability, vector = answers(whole)
        for factor in FACTORS:
            began = perf_counter()
            reduced = decode_reduced(content, LIMITS, round(factor * side))
            resize(reduced, classifier.manifest.input)
            seconds = perf_counter() - began
            other, other_vector = answers(reduced)
            rows[factor].append((abs(other - probability), float(vector @ other_vector), seconds / whole_seconds))
    if not rows[FACTORS[0]]:
        print(f"no JPEG of {given.least_side} pixels a side", file=sys.stderr)
        return 1
    print("| input's side, at least | change of a probability: median · largest | least cosine | time of the whole |")
    print("| --- | --- | --- | --- |")
    for factor, found in rows.items():
        change, cosine, share = np.array(found).T
        mark = " (served)" if factor == OVERSAMPLING else ""
        print(
            f"| {factor:g} ×{mark} | {np.median(change):.4f} · {change.max():.4f} | {cosine.min():.4f} | "
            f"{np.median(share):.2f} |"
        )
    print(f"\n{len(rows[FACTORS[0]])} {'mosaics' if given.mosaics else 'photos'}; {hardware(torch.device('cpu'))}")
    print(f"{classifier.name} {classifier.manifest.version}, {embedder.name} {embedder.manifest.version}, ", end="")
    print(f"onnxruntime {onnxruntime.__version__}, pillow {PIL.__version__}")
    return 0


def _photos(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*.jp*g")):
        try:
            yield path.name, path.read_bytes()
        except OSError as error:
            print(f"{path.name}: {error}", file=sys.stderr)


def _mosaics(tars: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    (found,) = load_photos(tars, Path(), ["12 MP"], count=MOSAICS)
    return ((f"mosaic {number}", jpeg) for number, jpeg in enumerate(found.jpegs))


if __name__ == "__main__":
    sys.exit(main())
